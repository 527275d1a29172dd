from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_factored_atlas import CASES, make

from archatlas.atlas import counting
from archatlas.atlas.counting import count, size
from archatlas.errors import ConfigError
from archatlas.spaces import chain_graph
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.testing.atlas_oracle import random_graph, random_terms


@settings(max_examples=15, deadline=None)
@given(case=CASES, score=st.sampled_from(["rank", "screen"]))
def test_density_counts_every_network_once_and_within_the_stated_error(case, score):
    atlas, truth = make(**case)
    density = atlas.density("macs", score)
    assert density.total == len(truth.scores) == atlas.size
    values = getattr(atlas.order, score)(truth.architectures)
    for axis, counts, exact in (
        (density.cost, density.counts.sum(axis=1), truth.costs["macs"]),
        (density.score, density.counts.sum(axis=0), values),
    ):
        binned = np.repeat(axis.centres, counts.astype(int))
        assert np.abs(np.sort(binned) - np.sort(exact)).max() <= axis.error + 1e-12


@settings(max_examples=15, deadline=None)
@given(case=CASES, number=st.integers(0, 1000))
def test_percentile_bounds_hold_the_truth(case, number):
    atlas, truth = make(**case)
    chosen = number % len(truth.scores)
    architecture, score = tuple(map(int, truth.architectures[chosen])), truth.scores[chosen]
    share = atlas.percentile_bounds(architecture)
    assert share.lower <= truth.better(score) / len(truth.scores) <= share.upper
    share = atlas.percentile_bounds(architecture, "macs")
    low, high = share.band
    near = (truth.costs["macs"] >= low) & (truth.costs["macs"] <= high)
    assert near[chosen]
    assert share.lower <= (truth.scores[near] > score).mean() <= share.upper


def test_percentile_is_tight_where_the_screen_is_off():
    atlas, truth = make([3, 3, 3], 3, (0, 1), None)
    for chosen in range(0, len(truth.scores), 40):
        share = atlas.percentile_bounds(tuple(truth.architectures[chosen]))
        assert share.upper - share.lower <= 2 / len(truth.scores)
        assert share.lower <= truth.better(truth.scores[chosen]) / len(truth.scores) <= share.upper


@settings(max_examples=15, deadline=None)
@given(case=CASES)
def test_summaries_equal_enumeration(case):
    atlas, truth = make(**case)
    for summary in atlas.summaries():
        costs = np.sort(truth.costs[summary.name])
        assert (summary.minimum, summary.maximum) == pytest.approx((costs[0], costs[-1]))
        assert summary.median == pytest.approx(costs[(len(costs) - 1) // 2], abs=summary.median_error + 1e-12)


def test_integer_costs_are_counted_without_error():
    atlas, truth = make([2, 3], 5, (0, 0), None, integer_costs=True)
    density = atlas.density("macs")
    assert density.cost.error == 0
    for centre, here in zip(density.cost.centres, density.counts.sum(axis=1), strict=True):
        assert (truth.costs["macs"] == centre).sum() == here


def test_counts_stay_exact_beyond_64_bits():
    graph = random_graph((9,) * 22, np.random.default_rng(0))
    terms = random_terms((9,) * 22, 0, np.random.default_rng(1))
    _, counts = count(graph, {"score": terms}, (1,))
    assert size(graph) == 9**22 > 2**63
    assert sum(map(int, counts)) == 9**22


def test_carries_between_limbs(monkeypatch):
    monkeypatch.setattr(counting, "_LIMB_BITS", 4)
    atlas, truth = make([3, 2], 11, (1, 1), 0.3)
    axes, plain = count(atlas.graph, {"score": atlas.order.rank}, (1,))
    chain, steps = counting.make_chain(atlas.graph, [1]), counting.make_steps(atlas.order.rank)
    limbs = counting._count_shifts(chain, [[np.zeros_like(s, dtype=int) for s in steps]], [1], 3, 1)
    assert [int(limb) for limb in limbs.ravel()] == [len(truth.scores) % 16, len(truth.scores) // 16, 0]
    limbs = counting._count_shifts(chain, [counting._round("score", steps, 2**20)[1]], [1], 3, axes[0].bins)
    np.testing.assert_array_equal(sum(limb << 4 * i for i, limb in enumerate(limbs)), plain)


def test_size_of_nas_bench_macro():
    assert size(chain_graph(nas_bench_macro(), {})) == 3969


def test_density_of_an_unknown_cost():
    atlas, _ = make([2], 0, (0, 0), None)
    with pytest.raises(ConfigError, match="no cost 'joules'"):
        atlas.density("joules")
