"""Search of the whole space at once: sample it, fit once, ask the atlas."""

from __future__ import annotations

import numpy as np

from archatlas.records import Architectures, Floats, SearchResult
from archatlas.search.config import SearchConfig
from archatlas.search.problem import Problem, finish, measured_score
from archatlas.search.rounds import sample_in_rounds
from archatlas.search.sampling import DESIGNS


def search_whole(problem: Problem, config: SearchConfig) -> SearchResult:
    """Return the best network of the whole space: exact in the fitted order, then measured once more.

    Raises:
        InfeasibleBudgetError: If no network meets the budgets; nothing has been measured then.
    """
    problem.check_budgets()
    free = [range(count) for count in problem.graph.num_choices]
    design = DESIGNS[config.sampling.design]

    def score(architectures: Architectures) -> Floats:
        return np.array([measured_score(evaluation) for evaluation in problem.measure(architectures)])

    sampled = sample_in_rounds(
        problem, problem.graph, lambda count, rng: design(free, count, rng), score, config.sampling
    )
    shortlist = problem.atlas(sampled.fitted).top(config.shortlist, problem.budgets)
    return finish(
        problem,
        shortlist,
        sampled.architectures,
        remeasure=config.remeasure,
        num_evaluations=len(sampled.scores),
    )
