"""What every search is given, and the steps that they share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archatlas.atlas import Atlas, enumerate_space, tabulate
from archatlas.atlas.base import raise_infeasible
from archatlas.predictors import FittedPredictor, Predictor, WindowedPredictor
from archatlas.records import (
    Architecture,
    Architectures,
    Budget,
    Candidate,
    Evaluation,
    Floats,
    SearchResult,
    TwoStageTerms,
    WindowTerms,
    as_array,
)
from archatlas.spaces import SpaceGraph

Measure = Callable[[Architectures], list[Evaluation]]
"""Scores whole architectures `(A, L)` with the super-network; one evaluation each, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A space to search.

    Args:
        graph: The whole space with its costs.
        measure: The super-network.
        predictor: What is fitted to its scores.
        budgets: What the answer must meet.
        seed: Of every random choice.
        log: Receives a line for the user now and then.
    """

    graph: SpaceGraph
    measure: Measure
    predictor: Predictor
    budgets: tuple[Budget, ...]
    seed: int
    log: Callable[[str], None]

    def fit(self, graph: SpaceGraph, architectures: Architectures, scores: Floats) -> FittedPredictor:
        """Fit the predictor."""
        return self.predictor.fit(graph, architectures, scores, seed=self.seed)

    def atlas(self, fitted: FittedPredictor) -> Atlas:
        """Return the atlas of a fitted predictor: exact by its windows, or else by enumeration.

        Raises:
            ConfigError: If the predictor has no windows and its graph is too large to enumerate.
        """
        if isinstance(fitted, WindowedPredictor):
            return tabulate(fitted.graph, fitted.terms)
        with tempfile.TemporaryDirectory() as directory:  # what is mapped from it outlives it
            return enumerate_space(fitted, Path(directory))

    def check_budgets(self) -> None:
        """Refuse budgets that no network of the space meets, alone or together, before anything is measured.

        Raises:
            InfeasibleBudgetError: With the smallest attainable cost.
        """
        indifferent = WindowTerms(radius=0, terms=tuple(np.zeros(count) for count in self.graph.num_choices))
        order = TwoStageTerms(screen=indifferent, rank=indifferent, threshold=-np.inf)
        raise_infeasible(tabulate(self.graph, order), self.budgets, None)

    def costs(self, architecture: Architecture) -> dict[str, float]:
        """Return every cost of one architecture."""
        canonical = self.graph.canonical(as_array([architecture]))
        return {name: float(cost(canonical)[0]) for name, cost in self.graph.costs.items()}

    def feasible(self, architectures: Architectures) -> np.ndarray:
        """Tell for each of `(A, L)` whether it meets all budgets."""
        canonical = self.graph.canonical(architectures)
        result = np.ones(len(architectures), dtype=bool)
        for budget in self.budgets:
            result &= self.graph.costs[budget.cost](canonical) <= budget.upper
        return result


def measured_score(evaluation: Evaluation) -> float:
    """Return the score that predictors are fitted to: minus the validation loss."""
    return -evaluation.loss


def mean_rank(*scores: Floats) -> Floats:
    """Return minus the mean rank over several scores `(A,)`; higher is better, 0 is first by all."""
    ranks = [np.argsort(np.argsort(-score, kind="stable"), kind="stable") for score in scores]
    mean: Floats = np.mean(np.stack(ranks), axis=0, dtype=float)
    return -mean


def finish(
    problem: Problem,
    shortlist: Sequence[tuple[Architecture, float]],
    samples: Architectures,
    *,
    remeasure: bool,
    num_evaluations: int,
    shortlisted: Sequence[Architecture] = (),
) -> SearchResult:
    """Measure a predicted short-list once more and return it in its final order.

    Args:
        problem: The super-network and the costs.
        shortlist: Whole architectures with their predicted score, best first.
        samples: `(A, L)` whole architectures that were measured as samples of a design.
        remeasure: Order by the mean of predicted and measured rank; False keeps the predicted order.
        num_evaluations: What the search measured before.
        shortlisted: Whole architectures of earlier short-lists that were measured.
    """
    evaluations = problem.measure(as_array([architecture for architecture, _ in shortlist]))
    predicted = np.array([score for _, score in shortlist])
    measured = np.array([measured_score(evaluation) for evaluation in evaluations])
    order = np.argsort(-mean_rank(predicted, measured) if remeasure else -predicted, kind="stable")
    finalists = tuple(
        Candidate(
            architecture=shortlist[i][0],
            predicted=shortlist[i][1],
            costs=problem.costs(shortlist[i][0]),
            measured=evaluations[i],
        )
        for i in order
    )
    sampled = set(map(tuple, problem.graph.canonical(samples).tolist()))
    listed = [*shortlisted, *(evaluation.architecture for evaluation in evaluations)]
    return SearchResult(
        best=finalists[0],
        finalists=finalists,
        num_evaluations=num_evaluations + len(evaluations),
        shortlisted=tuple(sorted(set(listed) - sampled)),
    )
