"""A cost in which neighbours interact is a budget like any other: in both atlases, and in every search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archatlas.atlas import enumerate_space, load_atlas, tabulate
from archatlas.errors import InfeasibleBudgetError
from archatlas.records import Budget, Prediction, TwoStageTerms, WindowCost, as_array
from archatlas.search import SamplingConfig, SearchConfig, search
from archatlas.testing.atlas_oracle import brute_force, random_graph, random_terms
from archatlas.testing.search_oracle import Known, graph_of, problem_of


def with_latency(graph, seed, radius=1):
    terms = random_terms(graph.num_choices, radius, np.random.default_rng(seed))
    return replace(graph, costs=dict(graph.costs) | {"latency_ms": WindowCost(name="latency_ms", terms=terms)})


def make(seed):
    rng = np.random.default_rng(seed)
    graph = with_latency(random_graph([3, 3, 2, 4, 2], rng, stages=[0, 0, 1, 2, 3]), seed, radius=1 + seed % 2)
    screen, rank = random_terms(graph.num_choices, 1, rng), random_terms(graph.num_choices, 0, rng)
    order = TwoStageTerms(screen=screen, rank=rank, threshold=0.3)
    return tabulate(graph, order), brute_force(graph, order)


class Fitted:
    def __init__(self, atlas):
        self.graph, self.order = atlas.graph, atlas.order

    def predict(self, architectures):
        mean = self.order.screen(architectures)
        return Prediction(mean=mean, std=np.zeros(len(mean)))

    def rank(self, architectures):
        return self.order(architectures)


@pytest.mark.parametrize("seed", range(4))
def test_both_atlases_equal_enumeration_under_two_budgets(seed, tmp_path):
    factored, truth = make(seed)
    for atlas in (factored, enumerate_space(Fitted(factored), tmp_path / "atlas")):
        for share in (0.05, 0.3, 0.7):
            budgets = [Budget(cost=n, upper=float(np.quantile(truth.costs[n], share))) for n in ("latency_ms", "macs")]
            if not truth.within(budgets).any():
                with pytest.raises(InfeasibleBudgetError) as caught:
                    atlas.best(budgets)
                others = [budget for budget in budgets if budget.cost != caught.value.cost]
                assert caught.value.attainable == pytest.approx(
                    truth.costs[caught.value.cost][truth.within(others)].min()
                )
                continue
            answer = atlas.best(budgets)
            assert answer.score == pytest.approx(truth.top_scores(1, budgets)[0])
            assert all(answer.costs[budget.cost] <= budget.upper for budget in budgets)
            assert answer.certificate.gap == pytest.approx(0.0, abs=1e-9)
        (latency,) = [summary for summary in atlas.summaries() if summary.name == "latency_ms"]
        np.testing.assert_allclose(
            (latency.minimum, latency.maximum), (truth.costs["latency_ms"].min(), truth.costs["latency_ms"].max())
        )


@pytest.mark.parametrize("form", ["factored", "enumerated"])
def test_it_is_read_back_with_the_atlas(form, tmp_path):
    atlas, truth = make(1)
    if form == "factored":
        atlas.save(tmp_path)
    else:
        enumerate_space(Fitted(atlas), tmp_path)
    loaded = load_atlas(tmp_path)
    np.testing.assert_array_equal(loaded.costs(truth.architectures)["latency_ms"], truth.costs["latency_ms"])
    cost = loaded.graph.costs["latency_ms"]
    assert isinstance(cost, WindowCost)
    np.testing.assert_array_equal(cost(truth.architectures), truth.costs["latency_ms"])


@pytest.mark.parametrize("mode", ["whole", "segments", "evolution", "random"])
@pytest.mark.parametrize("share", [0.15, 0.5])
def test_every_search_meets_it_together_with_another(mode, share):
    known = Known(with_latency(graph_of((3, 4, 3, 2, 3, 4)), 3), seed=1)
    rows = as_array(np.indices(known.graph.num_choices).reshape(6, -1).T)
    budgets = tuple(
        Budget(cost=name, upper=float(np.quantile(known.graph.costs[name](rows), level)))
        for name, level in (("latency_ms", share), ("macs", 0.7))
    )
    count = 2000 if mode == "whole" else 300
    everything = SamplingConfig(round_size=count, floor=count, ceiling=count, design="uniform")
    config = SearchConfig(mode=mode, evaluations=150, sampling=everything, keep=10, shortlist=30)
    result = search(problem_of(known, budgets=budgets), config, segments=(2, 2, 2))
    for candidate in result.finalists:
        assert all(candidate.costs[budget.cost] <= budget.upper for budget in budgets)
    if mode == "whole":
        assert result.best.measured.loss == pytest.approx(known.brute_force(budgets))


def test_a_budget_below_what_any_network_takes_is_refused_with_the_least():
    known = Known(with_latency(graph_of((3, 4, 3)), 0))
    least = known.graph.costs["latency_ms"].minimum
    with pytest.raises(InfeasibleBudgetError) as caught:
        search(
            problem_of(known, budgets=(Budget(cost="latency_ms", upper=least - 1e-3),)), SearchConfig(), segments=(3,)
        )
    assert caught.value.attainable == least
    assert not known.measured
