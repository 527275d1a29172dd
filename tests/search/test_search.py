from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archatlas.errors import ConfigError, InfeasibleBudgetError
from archatlas.predictors import PredictorConfig, build_predictor
from archatlas.records import Budget, CostTable, as_array
from archatlas.search import SamplingConfig, SearchConfig, search
from archatlas.search.problem import mean_rank
from archatlas.search.segments import search_segments
from archatlas.testing.search_oracle import Known, graph_of, problem_of

EVERYTHING = SamplingConfig(round_size=2000, floor=2000, ceiling=2000, design="uniform")
SEGMENTS = (2, 2, 2)
CHAIN = (3, 4, 3, 2, 3, 4)
MODES = ["whole", "segments", "evolution", "random"]


def budget(known: Known, share: float, cost: str = "macs") -> Budget:
    table = known.graph.costs[cost]
    return Budget(cost=cost, upper=table.minimum + share * (table.maximum - table.minimum))


def config_of(**settings) -> SearchConfig:
    return SearchConfig(**({"evaluations": 200, "sampling": EVERYTHING, "keep": 40, "shortlist": 100} | settings))


@pytest.mark.parametrize("remeasure", [True, False])
@pytest.mark.parametrize("mode", ["whole", "segments"])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.8, None])
def test_an_additive_score_is_searched_exactly(mode, share, remeasure):
    for seed in range(2):
        known = Known(graph_of(CHAIN), seed=seed)
        budgets = (budget(known, share),) if share else ()
        result = search(
            problem_of(known, budgets=budgets), config_of(mode=mode, remeasure=remeasure), segments=SEGMENTS
        )
        assert result.best.measured.loss == pytest.approx(known.brute_force(budgets))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_answers_are_feasible_and_never_better_than_brute_force(mode, share):
    sampling = SamplingConfig(round_size=20, floor=40, ceiling=40)
    for seed in range(3):
        known = Known(graph_of(CHAIN), seed=seed, interaction=1.0)
        budgets = (budget(known, share), budget(known, 0.6, "params"))
        result = search(
            problem_of(known, budgets=budgets, seed=seed),
            config_of(mode=mode, sampling=sampling, keep=4, shortlist=10, evaluations=30),
            segments=SEGMENTS,
        )
        for candidate in result.finalists:
            for limit in budgets:
                assert candidate.costs[limit.cost] <= limit.upper
                assert candidate.costs[limit.cost] == known.graph.costs[limit.cost].of(candidate.architecture)
            assert candidate.measured.loss == known.loss([candidate.architecture])[0]
        assert result.best == result.finalists[0]
        assert result.best.measured.loss >= known.brute_force(budgets) - 1e-12


@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_finds_the_same_networks(mode):
    def run(seed):
        known = Known(graph_of(CHAIN), interaction=1.0)
        sampling = SamplingConfig(round_size=20, floor=40, ceiling=60)
        config = config_of(mode=mode, sampling=sampling, keep=4, shortlist=10)
        return search(problem_of(known, seed=seed), config, segments=SEGMENTS)

    assert run(0) == run(0)
    assert run(0).finalists != run(1).finalists


@pytest.mark.parametrize("mode", MODES)
def test_an_impossible_budget_is_refused_before_anything_is_measured(mode):
    known = Known(graph_of(CHAIN))
    minimum = known.graph.costs["macs"].minimum
    impossible = Budget(cost="macs", upper=minimum - 1)
    with pytest.raises(InfeasibleBudgetError, match=f"smallest attainable macs is {minimum:,.12g}") as caught:
        search(problem_of(known, budgets=(impossible,)), config_of(mode=mode), segments=SEGMENTS)
    assert caught.value.attainable == minimum
    assert not known.measured


@pytest.mark.parametrize("mode", MODES)
def test_budgets_that_exclude_each_other_are_refused_before_anything_is_measured(mode):
    graph = graph_of(CHAIN)
    macs = graph.costs["macs"]
    rest = CostTable(name="rest", fixed=0.0, entries=tuple(entry.max() - entry for entry in macs.entries))
    known = Known(replace(graph, costs={"macs": macs, "rest": rest}))
    budgets = (Budget(cost="macs", upper=macs.minimum), Budget(cost="rest", upper=rest.maximum - 1))
    with pytest.raises(InfeasibleBudgetError, match=r"smallest attainable rest is ") as caught:
        search(problem_of(known, budgets=budgets), config_of(mode=mode), segments=SEGMENTS)
    assert caught.value.attainable == rest.maximum
    assert not known.measured


@pytest.mark.parametrize("mode", MODES)
def test_the_cheapest_network_is_found_when_only_it_is_allowed(mode):
    known = Known(graph_of((2, 2, 2, 2)))
    only = Budget(cost="macs", upper=known.graph.costs["macs"].minimum)
    result = search(problem_of(known, budgets=(only,)), config_of(mode=mode), segments=(2, 2))
    assert result.best.costs["macs"] == only.upper


def test_segments_measure_only_behind_the_kept_super_cells():
    known = Known(graph_of(CHAIN), interaction=0.5)
    lines: list[str] = []
    sampling = SamplingConfig(round_size=8, floor=16, ceiling=16, design="balanced")
    config = config_of(mode="segments", sampling=sampling, keep=3, shortlist=5, completions=2, remeasure=True)
    result = search(problem_of(known, log=lines.append), config, segments=SEGMENTS)
    assert "segment 1 of 3: 3 super-cells kept" in lines
    assert "segment 2 of 3: 3 super-cells kept" in lines
    heads = {candidate.architecture[:4] for candidate in result.finalists}
    assert len(heads) <= 3
    # 12 of the first segment's sub-architectures with 2 completions, 16 of the second's with 2, 16 of the last
    assert result.num_evaluations == sum(known.measured.values()) == 12 * 2 + 5 * 2 + 16 * 2 + 5 * 2 + 16 + 5


@pytest.mark.parametrize(("completion", "tail"), [("fixed", (0, 0, 0, 0)), ("largest", (2, 1, 2, 3))])
def test_fixed_completions(completion, tail):
    known = Known(graph_of(CHAIN))
    config = config_of(mode="segments", completion=completion, keep=2, shortlist=5, remeasure=True)
    result = search(problem_of(known), config, segments=SEGMENTS)
    first = {a for a, _ in list(known.measured.items())[:12]}
    assert {a[2:] for a in first} == {tail}
    assert result.num_evaluations == sum(known.measured.values())


def test_a_single_segment_is_the_whole_search():
    known = Known(graph_of(CHAIN), interaction=0.3)
    config = config_of(mode="segments")
    one = search(problem_of(known), config, segments=(6,))
    whole = search(problem_of(Known(graph_of(CHAIN), interaction=0.3)), config_of(mode="whole"), segments=(6,))
    assert one.best.architecture == whole.best.architecture
    assert one.best.predicted == pytest.approx(whole.best.predicted)


def test_segments_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"search.segments \[2, 2\] add up to 4; known has 6 blocks"):
        search_segments(problem_of(Known(graph_of(CHAIN))), config_of(), (2, 2))


def test_the_configured_segments_override_the_spaces_own():
    lines: list[str] = []
    config = config_of(mode="segments", segments=(3, 3))
    search(problem_of(Known(graph_of(CHAIN)), log=lines.append), config, segments=SEGMENTS)
    assert any(line.startswith("segment 1 of 2") for line in lines)


@pytest.mark.parametrize("mode", ["whole", "segments"])
def test_a_predictor_without_windows_is_enumerated(mode):
    known = Known(graph_of((3, 3, 3, 2)))
    limit = budget(known, 0.5)
    result = search(problem_of(known, budgets=(limit,), name="random_forest"), config_of(mode=mode), segments=(2, 2))
    assert result.best.costs["macs"] <= limit.upper
    assert result.best.measured.loss >= known.brute_force((limit,)) - 1e-12


def test_a_predictor_without_windows_is_refused_where_there_is_too_much_to_enumerate():
    known = problem_of(Known(graph_of((3,) * 4)), name="random_forest")
    large = replace(known, graph=graph_of((3,) * 20), measure=lambda rows: [])
    fitted = large.predictor.fit(
        large.graph, as_array(np.random.default_rng(0).integers(0, 3, (20, 20))), np.arange(20.0), seed=0
    )
    with pytest.raises(ConfigError, match=r"3,486,784,401 architectures; .*window_gcn, ridge"):
        large.atlas(fitted)


def test_the_default_predictor_searches_too():
    known = Known(graph_of(CHAIN))
    problem = problem_of(known)
    problem = replace(problem, predictor=build_predictor(PredictorConfig()))
    result = search(
        problem, config_of(sampling=SamplingConfig(round_size=60, floor=120, ceiling=120)), segments=SEGMENTS
    )
    rows = as_array(np.indices(CHAIN).reshape(len(CHAIN), -1).T)
    assert result.best.measured.loss <= np.quantile(known.loss(rows), 0.02)


@pytest.mark.parametrize("mode", ["evolution", "random"])
def test_baselines_spend_what_they_may(mode):
    known = Known(graph_of((6,) * 6), interaction=0.5)
    result = search(problem_of(known), config_of(mode=mode, evaluations=120), segments=SEGMENTS)
    assert sum(known.measured.values()) == 120
    assert result.num_evaluations == len(known.measured)
    losses = [candidate.measured.loss for candidate in result.finalists]
    assert losses == sorted(losses)
    assert losses[0] == known.loss(list(known.measured)).min()


def test_evolution_beats_random_on_an_additive_score():
    gains = []
    for seed in range(3):
        found = {}
        for mode in ("evolution", "random"):
            known = Known(graph_of((6,) * 10), seed=seed)
            result = search(problem_of(known, seed=seed), config_of(mode=mode, evaluations=150), segments=SEGMENTS)
            found[mode] = result.best.measured.loss
        gains.append(found["random"] - found["evolution"])
    assert np.mean(gains) > 0.5


def test_mean_ranks():
    np.testing.assert_array_equal(mean_rank(np.array([3.0, 1.0, 2.0])), [0, -2, -1])
    np.testing.assert_array_equal(mean_rank(np.array([3.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0])), [-1, -1.5, -0.5])
