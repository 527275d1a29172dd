from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from archatlas.atlas.factored import FactoredAtlas, tabulate
from archatlas.errors import ConfigError, InfeasibleBudgetError
from archatlas.records import Budget, TwoStageTerms
from archatlas.testing.atlas_oracle import BruteForce, brute_force, random_graph, random_terms

CASES = st.fixed_dictionaries(
    {
        "stage_lengths": st.lists(st.integers(1, 3), min_size=1, max_size=3),
        "seed": st.integers(0, 10_000),
        "radii": st.tuples(st.integers(0, 3), st.integers(0, 3)),
        "keep": st.sampled_from([None, 0.0, 0.02, 0.2, 0.7, 1.0]),
        "ties": st.booleans(),
        "integer_costs": st.booleans(),
    }
)


def make(stage_lengths, seed, radii, keep, ties=False, integer_costs=False) -> tuple[FactoredAtlas, BruteForce]:
    rng = np.random.default_rng(seed)
    stages = [i for i, length in enumerate(stage_lengths) for _ in range(length)]
    choices = rng.integers(1, 5, len(stage_lengths))
    num_choices = [int(choices[stage]) for stage in stages]
    graph = random_graph(num_choices, rng, stages=stages, integer_costs=integer_costs)
    screen = random_terms(num_choices, radii[0], rng, ties=ties)
    rank = random_terms(num_choices, radii[1], rng, ties=ties)
    order = TwoStageTerms(screen=screen, rank=rank, threshold=-np.inf)
    if keep is not None:
        networks = brute_force(graph, order).architectures
        threshold = np.quantile(screen(networks), 1 - keep) if keep else screen(networks).max() + 1
        order = TwoStageTerms(screen=screen, rank=rank, threshold=float(threshold))
    return tabulate(graph, order), brute_force(graph, order)


@settings(max_examples=60)
@given(case=CASES, k=st.sampled_from([1, 7, 50, 10_000]))
def test_top_equals_enumeration(case, k):
    atlas, truth = make(**case)
    ranking, bound = atlas.ranking(k)
    np.testing.assert_allclose([score for _, score in ranking], truth.top_scores(k), atol=1e-9)
    assert bound <= ranking[-1][1] + 1e-9
    assert len({architecture for architecture, _ in ranking}) == len(ranking)
    np.testing.assert_allclose(atlas.score(np.array([a for a, _ in ranking])), [s for _, s in ranking], atol=0)


@settings(max_examples=60)
@given(case=CASES, shares=st.tuples(st.floats(0, 1), st.floats(0, 1)), k=st.sampled_from([1, 20]))
def test_budgets_equal_enumeration(case, shares, k):
    atlas, truth = make(**case)
    for names in (("macs",), ("macs", "latency_ms")):
        budgets = [
            Budget(cost=name, upper=float(np.quantile(truth.costs[name], share)))
            for name, share in zip(names, shares, strict=False)
        ]
        expected = truth.top_scores(k, budgets)
        if not len(expected):
            with pytest.raises(InfeasibleBudgetError) as caught:
                atlas.top(k, budgets)
            others = [b for b in budgets if b.cost != caught.value.cost]
            least = truth.costs[caught.value.cost][truth.within(others)].min()
            assert caught.value.attainable == pytest.approx(least, abs=1e-9)
            continue
        top = atlas.top(k, budgets)
        np.testing.assert_allclose([score for _, score in top], expected, atol=1e-9)
        costs = atlas.costs(np.array([a for a, _ in top]))
        assert all((costs[b.cost] <= b.upper).all() for b in budgets)
        best = atlas.best(budgets)
        assert best.score == pytest.approx(expected[0], abs=1e-9)
        assert best.certificate.gap == 0


ROUNDED_GATE = {
    "stage_lengths": [1, 3, 1],
    "seed": 116,
    "radii": (2, 0),
    "keep": 0.02,
    "ties": True,
    "integer_costs": False,
}
"""Two equal screens differ in the last digit, and the gate lies between them."""


@example(case=ROUNDED_GATE, levels=2)
@settings(max_examples=30)
@given(case=CASES, levels=st.sampled_from([2, 9, 40]))
def test_front_equals_enumeration(case, levels):
    atlas, truth = make(**case)
    costs = truth.costs["latency_ms"]
    front = atlas.pareto("latency_ms", levels)
    limits = np.linspace(costs.min(), costs.max(), levels)
    limits[-1] = costs.max()
    expected = []
    for limit in limits:
        score = truth.scores[costs <= limit].max()
        if not expected or score > expected[-1] + 1e-9:
            expected.append(score)
    np.testing.assert_allclose([answer.score for answer in front], expected, atol=1e-9)
    assert max(answer.certificate.gap for answer in front) <= 1e-9


@settings(max_examples=60)
@given(case=CASES, seed=st.integers(0, 99))
def test_sub_spaces_merge_exactly(case, seed):
    atlas, truth = make(**case)
    rng = np.random.default_rng(seed)
    within = [
        [sorted(rng.choice(n, rng.integers(1, n + 1), replace=False).tolist()) for n in atlas.graph.num_choices]
        for _ in range(3)
    ]
    allowed = set(itertools.chain.from_iterable(itertools.product(*alternative) for alternative in within))
    expected = [s for a, s in zip(truth.architectures, truth.scores, strict=True) if tuple(map(int, a)) in allowed]
    top = atlas.top(15, within=within)
    np.testing.assert_allclose([score for _, score in top], sorted(expected, reverse=True)[:15], atol=1e-9)
    assert all(architecture in allowed for architecture, _ in top)


def test_a_million_networks_equal_enumeration():
    rng = np.random.default_rng(7)
    choices = (4,) * 10
    graph = random_graph(choices, rng)
    screen, rank = random_terms(choices, 2, rng), random_terms(choices, 1, rng)
    atlas = tabulate(graph, TwoStageTerms(screen=screen, rank=rank, threshold=9.0))
    truth = brute_force(graph, atlas.order)
    assert len(truth.scores) == atlas.size == 4**10 > 1e6
    np.testing.assert_allclose([s for _, s in atlas.top(2000)], truth.top_scores(2000), atol=1e-9)
    for macs, latency in ((0.01, 1.0), (0.3, 0.05), (0.001, 0.001)):
        shares = {"macs": macs, "latency_ms": latency}
        budgets = [Budget(cost=n, upper=float(np.quantile(truth.costs[n], share))) for n, share in shares.items()]
        if truth.within(budgets).any():
            best = atlas.best(budgets)
            assert best.score == pytest.approx(truth.top_scores(1, budgets)[0], abs=1e-9)
            assert best.certificate.gap == 0
    limits = np.linspace(truth.costs["macs"].min(), truth.costs["macs"].max(), 40)[1:]
    answers = atlas.at_levels("macs", limits)
    expected = [truth.scores[truth.costs["macs"] <= limit].max() for limit in limits]
    np.testing.assert_allclose(sorted(a.score for a in answers), sorted(expected), atol=1e-9)
    assert max(answer.certificate.gap for answer in answers) <= 1e-9


def test_bands_and_distances_equal_enumeration():
    atlas, truth = make([3, 2], 4, (1, 0), 0.4)
    costs = truth.costs["macs"]
    edges = np.linspace(costs.min(), costs.max(), 6)
    inside = [(costs >= low) & (costs <= high) for low, high in itertools.pairwise(edges)]
    expected = [truth.scores[mask].max() for mask in inside if mask.any()]
    found = [answer.score for answer in atlas.in_bands("macs", edges)]
    np.testing.assert_allclose(sorted(found), sorted(expected), atol=1e-9)
    chosen = atlas.diverse(3, 2)
    for i, answer in enumerate(chosen):
        apart = [(truth.architectures != np.array(c.architecture)).sum(axis=1) >= 2 for c in chosen[:i]]
        mask = np.logical_and.reduce([np.ones(len(costs), bool), *apart])
        assert answer.score == pytest.approx(truth.scores[mask].max(), abs=1e-9)


def test_unknown_cost_names_the_known_ones():
    atlas, _ = make([2, 2], 0, (1, 0), 0.5)
    with pytest.raises(ConfigError, match=r"no cost 'energy'; it knows: macs, latency_ms"):
        atlas.best([Budget(cost="energy", upper=1.0)])
