from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archatlas.costs.macs import count_costs
from archatlas.errors import InvalidArchitectureError
from archatlas.records import as_array
from archatlas.spaces import Block, ChainSpace, chain_graph
from archatlas.spaces.digits import digits
from archatlas.spaces.mobile import fairnas, mobile_cifar
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.spaces.operators import IDENTITY, mbconv
from archatlas.supernet import SuperNet
from archatlas.testing.tiny import NUM_NETWORKS, tiny_space

BUILT_IN = [digits, nas_bench_macro, mobile_cifar, fairnas]


def chain(counts: list[int]) -> ChainSpace:
    """A space with these numbers of operators; nothing is built."""
    operators = tuple(mbconv(1 + i, 3) for i in range(max(counts)))
    blocks = tuple(Block(in_channels=4, out_channels=4, stride=1, operators=operators[:count]) for count in counts)
    return ChainSpace(
        name="chain",
        resolution=8,
        in_channels=1,
        num_classes=2,
        stem=nn.Identity,
        head=nn.Identity,
        blocks=blocks,
        segments=(len(counts),),
    )


def test_the_numbering_covers_the_tiny_space_once():
    space = tiny_space()
    everything = space.all_architectures()
    assert everything.shape == (27, 3)
    assert space.size == 27
    for i, row in enumerate(everything.tolist()):
        assert space.architecture(i) == tuple(row)
        assert space.index(tuple(row)) == i


@given(counts=st.lists(st.integers(1, 9), min_size=1, max_size=40), share=st.fractions(0, 1))
def test_the_numbering_is_exact_for_spaces_of_any_size(counts, share):
    space = chain(counts)
    index = min(int(share * space.size), space.size - 1)
    architecture = space.architecture(index)
    space.validate(architecture)
    assert space.index(architecture) == index
    assert space.architecture(space.size - 1) == tuple(count - 1 for count in counts)


def test_the_paper_space_has_6_to_the_19_architectures():
    assert fairnas().size == 6**19 == 609_359_740_010_496
    assert fairnas().segments == (7, 6, 6)
    assert mobile_cifar().size == 6**12
    assert digits().size == 729


@pytest.mark.parametrize("make", BUILT_IN)
def test_samples_are_legal_seeded_and_use_every_operator(make):
    space = make()
    samples = space.sample(200, np.random.default_rng(3))
    for row in samples.tolist():
        space.validate(tuple(row))
    assert [len(np.unique(column)) for column in samples.T] == list(space.num_choices)
    np.testing.assert_array_equal(samples, space.sample(200, np.random.default_rng(3)))


def _function(supernet: SuperNet, architecture: tuple[int, ...]) -> tuple[object, ...]:
    """What a sub-network computes when equal operators of interchangeable blocks had equal weights: its modules."""
    space, modules = supernet.space, []
    run = 0
    for block, choice in enumerate(architecture):
        if block and not space.interchangeable()[block - 1]:
            run = block
        if not isinstance(supernet.operator(block, choice), nn.Identity):
            modules.append((run, choice))
    return tuple(modules)


@pytest.mark.parametrize(("make", "networks"), [(tiny_space, NUM_NETWORKS), (digits, None), (nas_bench_macro, 3969)])
def test_the_canonical_form_unites_exactly_the_architectures_that_are_one_network(make, networks):
    space = make()
    with torch.device("meta"):
        supernet = SuperNet(space)
    everything = space.all_architectures()
    canonical = space.canonical(everything)
    groups = defaultdict(set)
    for row, form in zip(everything.tolist(), canonical.tolist(), strict=True):
        groups[_function(supernet, tuple(row))].add(tuple(form))
    assert all(len(forms) == 1 for forms in groups.values())
    assert len({form for forms in groups.values() for form in forms}) == len(groups)
    np.testing.assert_array_equal(space.canonical(canonical), canonical)
    assert int(space.is_canonical(everything).sum()) == len(groups)
    assert networks in (None, len(groups))


def test_equal_canonical_forms_are_built_to_the_same_network():
    space = tiny_space()
    shapes = defaultdict(set)
    for row, form in zip(
        space.all_architectures().tolist(), space.canonical(space.all_architectures()).tolist(), strict=True
    ):
        network = space.build(tuple(row))
        weights = tuple(tuple(p.shape) for p in network.parameters())
        kinds = tuple(type(m).__name__ for m in network.blocks if not isinstance(m, nn.Identity))
        shapes[tuple(form)].add((weights, kinds))
    assert len(shapes) == NUM_NETWORKS
    assert all(len(variants) == 1 for variants in shapes.values())


def test_a_space_without_no_ops_has_no_duplicates():
    samples = fairnas().sample(50, np.random.default_rng(0))
    np.testing.assert_array_equal(fairnas().canonical(samples), samples)
    assert fairnas().canonical(as_array(np.empty((0, 19)))).shape == (0, 19)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_graph_agrees_with_the_space(seed):
    space = nas_bench_macro()
    graph = chain_graph(space, count_costs_once(space))
    samples = space.sample(30, np.random.default_rng(seed))
    np.testing.assert_array_equal(graph.canonical(samples), space.canonical(samples))
    for length in (1, 4, 8):
        head = graph.prefix(length)
        assert head.is_chain
        assert head.num_choices == space.num_choices[:length]
        np.testing.assert_array_equal(head.canonical(samples[:, :length])[:, 0], samples[:, 0])


_COSTS: dict[str, dict] = {}


def count_costs_once(space: ChainSpace) -> dict:
    if space.name not in _COSTS:
        _COSTS[space.name] = count_costs(space)
    return _COSTS[space.name]


def test_the_graph_knows_the_operators():
    space = nas_bench_macro()
    graph = chain_graph(space, count_costs_once(space))
    assert graph.attribute_names == ("expansion", "kernel", "in_channels", "out_channels", "stride", "no_op")
    assert graph.attributes[0].tolist() == [[0, 0, 32, 64, 2, 0], [3, 3, 32, 64, 2, 0], [6, 5, 32, 64, 2, 0]]
    assert graph.attributes[1].tolist() == [[0, 0, 64, 64, 1, 1], [3, 3, 64, 64, 1, 0], [6, 5, 64, 64, 1, 0]]
    assert graph.stages == (0, 1, 2, 3, 3, 4, 5, 5)
    assert graph.operator_names[0] == ("identity", "mbconv_e3_k3", "mbconv_e6_k5")
    assert graph.digest != graph.prefix(4).digest
    assert set(graph.costs) == {"macs", "params"}


@pytest.mark.parametrize("make", BUILT_IN)
def test_built_networks_classify(make):
    space = make().for_task(in_channels=3, num_classes=7, resolution=16)
    network = space.build(tuple(count - 1 for count in space.num_choices)).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, 3, 16, 16)).shape == (2, 7)


def test_an_illegal_operator_is_refused_with_block_value_and_legal_values():
    space = tiny_space()
    legal = "0 = identity, 1 = mbconv_e2_k3, 2 = mbconv_e3_k5"
    with pytest.raises(InvalidArchitectureError, match=f"Block 1 of tiny takes one of: {legal}; 030 has 3 there"):
        space.validate((0, 3, 0))
    with pytest.raises(InvalidArchitectureError, match="Block 2 .* has -1 there"):
        space.build((0, 0, -1))
    with pytest.raises(InvalidArchitectureError, match="tiny has 3 blocks, .* 01 has 2"):
        space.validate((0, 1))


def test_digests_name_space_and_task():
    space = tiny_space()
    assert space.digest == tiny_space().digest
    other = space.for_task(in_channels=1, num_classes=5, resolution=8)
    fewer = tiny_space((IDENTITY, mbconv(2, 3)))
    assert len({space.digest, other.digest, fewer.digest}) == 3


@pytest.mark.parametrize("segments", [(2, 2), (3, 0), (), (4, -1)])
def test_segments_must_add_up(segments):
    blocks = tiny_space().blocks
    with pytest.raises(ValueError, match="must be positive and add up to 3"):
        ChainSpace(
            name="x",
            resolution=8,
            in_channels=1,
            num_classes=2,
            stem=nn.Identity,
            head=nn.Identity,
            blocks=blocks,
            segments=segments,
        )
