"""Searches without a fit: they trust the measured scores. Yardsticks on the same contract."""

from __future__ import annotations

from collections import deque

import numpy as np

from archatlas.errors import InfeasibleBudgetError
from archatlas.records import Architecture, Candidate, Evaluation, SearchResult, as_array
from archatlas.search.config import SearchConfig
from archatlas.search.problem import Problem, measured_score

_POPULATION, _TOURNAMENT, _TRIES = 50, 10, 10_000


def search_random(problem: Problem, config: SearchConfig) -> SearchResult:
    """Measure random networks that meet the budgets and return the best.

    Raises:
        InfeasibleBudgetError: If no network meets the budgets.
    """
    problem.check_budgets()
    rng = np.random.default_rng(problem.seed)
    drawn = [_draw(problem, rng) for _ in range(config.evaluations)]
    return _result(problem, dict(zip(drawn, problem.measure(as_array(drawn)), strict=True)))


def search_evolution(problem: Problem, config: SearchConfig) -> SearchResult:
    """Regularised evolution (Real et al. 2019) on measured scores: the oldest of the population dies.

    A population of 50, tournaments of 10, one block mutated; mutants beyond a budget are drawn again.

    Raises:
        InfeasibleBudgetError: If no network meets the budgets.
    """
    problem.check_budgets()
    rng = np.random.default_rng(problem.seed)
    first = [_draw(problem, rng) for _ in range(min(_POPULATION, config.evaluations))]
    measured = dict(zip(first, problem.measure(as_array(first)), strict=True))
    population = deque(first, maxlen=_POPULATION)
    for _ in range(config.evaluations - len(first)):
        rivals = [population[i] for i in rng.integers(len(population), size=_TOURNAMENT)]
        child = _mutate(problem, max(rivals, key=lambda a: measured_score(measured[a])), rng)
        (measured[child],) = problem.measure(as_array([child]))
        population.append(child)
    return _result(problem, measured)


def _draw(problem: Problem, rng: np.random.Generator) -> Architecture:
    for _ in range(_TRIES):
        architecture = tuple(int(rng.integers(count)) for count in problem.graph.num_choices)
        if problem.feasible(as_array([architecture]))[0]:
            return architecture
    budget = problem.budgets[0]
    raise InfeasibleBudgetError(
        budget.cost,
        budget.upper,
        problem.graph.costs[budget.cost].minimum,
        f" among {_TRIES:,} random ones",
    )


def _mutate(problem: Problem, parent: Architecture, rng: np.random.Generator) -> Architecture:
    """Change one block; after many mutants beyond the budgets, draw afresh."""
    for _ in range(100):
        block = int(rng.integers(len(parent)))
        child = list(parent)
        child[block] = int(rng.integers(problem.graph.num_choices[block]))
        if problem.feasible(as_array([child]))[0]:
            return tuple(child)
    return _draw(problem, rng)


def _result(problem: Problem, measured: dict[Architecture, Evaluation]) -> SearchResult:
    ranked = sorted(measured.items(), key=lambda pair: -measured_score(pair[1]))
    finalists = tuple(
        Candidate(
            architecture=architecture,
            predicted=measured_score(evaluation),
            costs=problem.costs(architecture),
            measured=evaluation,
        )
        for architecture, evaluation in ranked[:64]
    )
    return SearchResult(best=finalists[0], finalists=finalists, num_evaluations=len(measured))
