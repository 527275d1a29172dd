"""Window terms against brute force: the tabulated network, the process, sums and softening."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archatlas.benchmarks.tables import plain_graph
from archatlas.costs.macs import count_costs
from archatlas.errors import ConfigError
from archatlas.predictors.baselines import Ridge
from archatlas.predictors.effects import add, capacity, fit_effects, one_hot, prior_covariance, soften, widen
from archatlas.predictors.encoding import encode
from archatlas.predictors.evidence import regress
from archatlas.predictors.gp_evidence import condition
from archatlas.predictors.kernels import main_covariance, similarities, window_covariance
from archatlas.predictors.learned_cost import learn_cost
from archatlas.predictors.links import linked
from archatlas.predictors.network import WindowNetwork
from archatlas.predictors.tabulate import tabulate
from archatlas.predictors.window_gcn import WindowGCN, WindowGCNConfig
from archatlas.predictors.window_gp import posterior_terms
from archatlas.records import Architectures, WindowTerms, as_array
from archatlas.spaces import SpaceGraph, chain_graph
from archatlas.spaces.digits import digits


def uneven(length: int = 4) -> SpaceGraph:
    """A chain whose blocks have different numbers of operators."""
    counts = (2, 3, 4, 2)[:length]
    return SpaceGraph(
        name="uneven",
        num_choices=counts,
        edges=tuple((i, i + 1) for i in range(length - 1)),
        stages=(0, 0, 1, 1)[:length],
        attribute_names=("size",),
        attributes=tuple(np.arange(count, dtype=float)[:, None] for count in counts),
        no_ops=tuple((False,) * count for count in counts),
        costs={},
    )


def every(graph: SpaceGraph) -> Architectures:
    return np.indices(graph.num_choices, dtype=np.uint8).reshape(len(graph.num_choices), -1).T


@pytest.mark.parametrize("length", [1, 2, 4])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_table_equals_network(length: int, layers: int) -> None:
    graph = uneven(length)
    encoding = encode(graph, as_chain=True)
    torch.manual_seed(0)
    network = WindowNetwork(encoding, hidden=5, layers=layers).requires_grad_(False)
    network.readout.normal_()
    network.effects.normal_()
    network.offset.fill_(0.7)
    direct = network(encoding.rows(every(graph))).numpy()
    np.testing.assert_allclose(tabulate(network, graph.num_choices)(every(graph)), direct, atol=1e-5)


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_process_posterior_equals_dense_algebra(radius: int) -> None:
    graph = uneven()
    samples = every(graph)[::3]
    targets = np.random.default_rng(0).normal(size=len(samples))
    similar = similarities(graph)
    main, window = main_covariance(graph, samples, samples), window_covariance(similar, samples, samples, radius)
    process = condition(main, window, targets)
    cross = process.main * main_covariance(graph, every(graph), samples)
    cross += process.interaction * window_covariance(similar, every(graph), samples, radius)
    dense = process.main * main + process.interaction * window + process.noise * np.eye(len(samples))
    expected = targets.mean() + cross @ np.linalg.solve(dense, targets - targets.mean())
    np.testing.assert_allclose(posterior_terms(graph, samples, targets, radius)(every(graph)), expected, atol=1e-8)


def test_effects_equal_dense_algebra() -> None:
    graph = uneven()
    samples, targets = every(graph)[::2], np.random.default_rng(1).normal(size=24)
    covariance = prior_covariance(graph, operator_std=1.0, stage_std=0.5, block_std=0.2)
    terms = fit_effects(graph, samples, targets, covariance, noise_variance=0.3)
    features = one_hot(graph.num_choices, samples)
    centred = features - features.mean(axis=0)
    inner = centred @ covariance @ centred.T + 0.3 * np.eye(24)
    weights = covariance @ centred.T @ np.linalg.solve(inner, targets - targets.mean())
    rest = one_hot(graph.num_choices, every(graph)) - features.mean(axis=0)
    np.testing.assert_allclose(terms(every(graph)), rest @ weights + targets.mean(), atol=1e-10)


def test_strong_sharing_makes_blocks_of_a_stage_equal() -> None:
    space = digits()
    graph = chain_graph(space, count_costs(space))
    rng = np.random.default_rng(0)
    samples, targets = space.sample(50, rng), rng.normal(size=50)
    covariance = prior_covariance(graph, operator_std=1.0, stage_std=1.0, block_std=0.0)
    terms = fit_effects(graph, samples, targets, covariance, noise_variance=0.1)
    np.testing.assert_allclose(terms.terms[1], terms.terms[2], atol=1e-10)


def test_sums_widening_and_softening() -> None:
    rng = np.random.default_rng(0)
    wide = WindowTerms(radius=1, terms=(rng.normal(size=(2, 3)), rng.normal(size=(2, 3, 2)), rng.normal(size=(3, 2))))
    narrow = WindowTerms(radius=0, terms=tuple(rng.normal(size=n) for n in (2, 3, 2)), offset=0.5)
    cells = np.indices((2, 3, 2), dtype=np.uint8).reshape(3, -1).T
    np.testing.assert_allclose(widen(narrow, 1)(cells), narrow(cells))
    np.testing.assert_allclose(add((2.0, wide), (-1.0, narrow))(cells), 2 * wide(cells) - narrow(cells))
    half, none = soften(wide, 0.5)(cells), soften(wide, 0.0)(cells)
    np.testing.assert_allclose(half, 0.5 * (wide(cells) + none))
    design = one_hot((2, 3, 2), cells)
    additive = design @ np.linalg.lstsq(design, wide(cells), rcond=None)[0]
    np.testing.assert_allclose(none, additive, atol=1e-10)


def test_capacity_is_standardised_and_additive() -> None:
    space = digits()
    graph = chain_graph(space, count_costs(space))
    values = capacity(graph)(space.all_architectures())
    assert abs(values.mean()) < 1e-9
    assert values.std() == pytest.approx(1.0)
    assert not capacity(uneven())(every(uneven())).any()


def test_strength_zero_is_additive() -> None:
    graph = uneven()
    config = WindowGCNConfig(strength=0.0, hidden=8)
    scores = np.random.default_rng(0).normal(size=48)
    flexible = WindowGCN(config=config).fit(graph, every(graph), scores, seed=0).flexible(every(graph))
    design = one_hot(graph.num_choices, every(graph))
    np.testing.assert_allclose(design @ np.linalg.lstsq(design, flexible, rcond=None)[0], flexible, atol=1e-6)


def test_members_average_to_the_screen() -> None:
    graph = uneven()
    fitted = WindowGCN().fit(graph, every(graph), np.random.default_rng(0).normal(size=48), seed=0)
    mean = np.mean([screen(every(graph)) for screen in fitted.member_screens], axis=0)
    np.testing.assert_allclose(mean, fitted.terms.screen(every(graph)), atol=1e-9)


def test_an_additive_cost_is_learnt_in_its_own_unit() -> None:
    graph = uneven()
    costs = 5.0 + every(graph) @ np.array([1.0, 2.0, 0.5, 3.0])
    rows = np.random.default_rng(0).permutation(48)[:24]
    learnt = learn_cost(graph, every(graph)[rows], costs[rows], seed=0)
    assert learnt.radius == 0
    np.testing.assert_allclose(learnt(every(graph)), costs, rtol=1e-2)


def test_a_cost_is_learnt_from_fewer_networks_than_it_has_entries() -> None:
    graph = plain_graph("long", (5,) * 12, tuple(np.repeat([0, 1, 2], 4).tolist()))
    profile, amplitude = np.array([0.0, 0.3, 1.0, 1.2, 3.0]), np.repeat([1.0, 3.0, 0.5], 4)
    rng = np.random.default_rng(0)
    rows = as_array(rng.integers(0, 5, (400, 12)))
    costs = 4.0 + (profile[rows] * amplitude).sum(axis=1)
    noisy = costs[:40] * np.exp(0.01 * rng.normal(size=40))
    noisy[::10] *= 1.6  # interrupted
    learnt = learn_cost(graph, rows[:40], noisy, seed=0)
    ridge = Ridge.fit_values(graph, rows[:40], noisy)
    errors = [np.abs(terms(rows[40:]) / costs[40:] - 1).mean() for terms in (learnt, ridge)]
    assert errors[0] < min(0.03, 0.5 * errors[1])


def test_neighbours_interact_where_asked() -> None:
    graph = plain_graph("pairs", (3,) * 5, (0,) * 5)
    rng = np.random.default_rng(0)
    single, pair = rng.normal(size=3), rng.normal(size=(3, 3))
    everything = every(graph)
    costs = 20 + single[everything].sum(axis=1) + 2 * pair[everything[:, :-1], everything[:, 1:]].sum(axis=1)
    rows = rng.permutation(243)[:150]
    rest = np.setdiff1d(np.arange(243), rows)

    def error(radius: int) -> float:
        learnt = learn_cost(graph, everything[rows], costs[rows], seed=0, radius=radius)
        assert learnt.radius == radius
        return float(np.abs(learnt(everything[rest]) - costs[rest]).mean() / costs.std())

    assert error(1) < 0.5 * error(0)


def test_regression_recovers_weights_and_noise() -> None:
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(400, 4)), np.array([1.0, -2.0, 0.0, 0.5])
    posterior = regress([features, rng.normal(size=(400, 3))], features @ weights + 3.0 + 0.1 * rng.normal(size=400))
    np.testing.assert_allclose(posterior.weights[:4], weights, atol=0.05)
    assert posterior.offset == pytest.approx(3.0, abs=0.05)
    assert posterior.variances[1] <= 0.05


def test_windows_too_large_to_tabulate_are_refused() -> None:
    graph = uneven()
    large = SpaceGraph(
        name="large",
        num_choices=(60,) * 5,
        edges=graph.edges,
        stages=(0,) * 5,
        attribute_names=(),
        attributes=(np.zeros((60, 0)),) * 5,
        no_ops=((False,) * 60,) * 5,
        costs={},
    )
    samples = np.random.default_rng(0).integers(0, 60, (10, 5)).astype(np.uint8)
    with pytest.raises(ConfigError, match="Set fewer predictor layers"):
        WindowGCN().fit(large, samples, np.arange(10.0), seed=0)


def test_links_go_on_beyond_their_table() -> None:
    table = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 1.0]])
    np.testing.assert_allclose(linked(table, np.array([-2.0, -0.5, 0.5, 3.0])), [-4.0, -1.0, 0.5, 3.0])
