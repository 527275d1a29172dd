"""Search a segment at a time, the paper's procedure.

The chain is cut into segments. The sub-architectures of a segment stand behind one of a few kept *super-cells* (fixed
runs of operators) and before a few fixed completions; they are sampled, measured and fitted, and the atlas of the
fitted graph names the best of all of them. Those become the next super-cells. The predictor always sees expanded
operators.

Legend: `A` sub-architectures, `end` blocks up to the end of the segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archatlas.errors import ConfigError, InfeasibleBudgetError
from archatlas.records import Architecture, Architectures, Budget, Floats, SearchResult, as_array
from archatlas.search.config import SearchConfig
from archatlas.search.problem import Problem, finish, mean_rank, measured_score
from archatlas.search.rounds import Sampled, sample_in_rounds
from archatlas.search.sampling import DESIGNS, Within

Scored = tuple[Architecture, float]


def search_segments(problem: Problem, config: SearchConfig, segments: Sequence[int]) -> SearchResult:
    """Return the best network found segment by segment.

    Args:
        problem: Super-network, predictor, budgets.
        config: Samples, super-cells, completions, short-list.
        segments: Lengths that add up to the number of blocks.

    Raises:
        ConfigError: If the segments do not fit the space.
        InfeasibleBudgetError: If no network meets the budgets; nothing has been measured then.
    """
    problem.check_budgets()
    if sum(segments) != len(problem.graph.num_choices):
        raise ConfigError(
            f"search.segments {list(segments)} add up to {sum(segments)}; {problem.graph.name} has "
            f"{len(problem.graph.num_choices)} blocks."
        )
    super_cells: list[Architecture] = [()]
    samples: list[Architectures] = []
    shortlisted: list[Architecture] = []
    end = spent = 0
    for number, length in enumerate(segments):
        end += length
        step = _Segment(problem, config, super_cells, end, number)
        sampled = step.sample()
        samples.append(_complete(sampled.architectures, step.tails))
        spent += len(samples[-1])
        shortlist = step.shortlist(sampled)
        if end == len(problem.graph.num_choices):
            return finish(
                problem,
                shortlist,
                np.concatenate(samples),
                remeasure=config.remeasure,
                num_evaluations=spent,
                shortlisted=shortlisted,
            )
        super_cells, measured = step.kept(shortlist)
        shortlisted += map(tuple, problem.graph.canonical(measured).tolist())
        spent += len(measured)
        problem.log(f"segment {number + 1} of {len(segments)}: {len(super_cells)} super-cells kept")
    raise AssertionError("the last segment ends the chain")


@dataclass(frozen=True, slots=True)
class _Segment:
    """One segment behind its super-cells."""

    problem: Problem
    config: SearchConfig
    super_cells: list[Architecture]
    end: int
    number: int

    @property
    def within(self) -> list[Within]:
        """The sub-space behind each super-cell."""
        counts = self.problem.graph.num_choices[: self.end]
        return [
            [[choice] for choice in cell] + [list(range(count)) for count in counts[len(cell) :]]
            for cell in self.super_cells
        ]

    @property
    def tails(self) -> list[Architecture]:
        """The completions that every sample of this segment gets."""
        return self._completions(fresh=False)

    def _completions(self, *, fresh: bool) -> list[Architecture]:
        counts = self.problem.graph.num_choices[self.end :]
        if not counts:
            return [()]
        if self.config.completion == "fixed":
            return [(0,) * len(counts)]
        if self.config.completion == "largest":
            return [tuple(count - 1 for count in counts)]
        rng = np.random.default_rng((self.problem.seed, self.number, int(fresh)))
        return [tuple(int(rng.integers(count)) for count in counts) for _ in range(self.config.completions)]

    def sample(self) -> Sampled:
        """Measure and fit the sub-architectures of this segment."""
        design, within = DESIGNS[self.config.sampling.design], self.within

        def draw(count: int, rng: np.random.Generator) -> Architectures:
            cells = rng.permutation(np.resize(np.arange(len(within)), count))
            parts = [design(within[c], int((cells == c).sum()), rng) for c in np.unique(cells)]
            return as_array(rng.permutation(np.concatenate(parts)))

        graph = self.problem.graph.prefix(self.end)
        return sample_in_rounds(
            self.problem, graph, draw, lambda rows: self._score(rows, self.tails), self.config.sampling
        )

    def _score(self, rows: Architectures, tails: list[Architecture]) -> Floats:
        """Return `(A,)`: the mean score over completions; all go through one walk."""
        evaluations = self.problem.measure(_complete(rows, tails))
        scores = np.array([measured_score(evaluation) for evaluation in evaluations])
        mean: Floats = np.mean(scores.reshape(len(tails), len(rows)), axis=0)
        return mean

    def shortlist(self, sampled: Sampled) -> list[Scored]:
        """Return the predicted best sub-architectures that can still meet the budgets.

        With budgets, a second beam holds the best of those that spend no more than their share, so that a tight
        budget leaves choice to the segments that follow.
        """
        atlas, count = self.problem.atlas(sampled.fitted), self.config.shortlist
        best = atlas.top(count, self.problem.budgets, self.within)
        if self.problem.budgets and self.end < len(self.problem.graph.num_choices):
            try:
                best += atlas.top(count, self._shares(), self.within)
            except InfeasibleBudgetError:
                self.problem.log("no super-cell spends only its share of the budgets; one beam is kept")
        return sorted(dict(best).items(), key=lambda scored: -scored[1])

    def _shares(self) -> list[Budget]:
        """Return budgets cut down to what this prefix may spend if all blocks spend alike."""
        shares = []
        for budget in self.problem.budgets:
            cost = self.problem.graph.costs[budget.cost]
            spread = self.problem.graph.prefix(self.end).costs[budget.cost].maximum - cost.minimum
            part = spread / max(cost.maximum - cost.minimum, 1e-300)
            shares.append(Budget(cost=budget.cost, upper=cost.minimum + part * (budget.upper - cost.minimum)))
        return shares

    def kept(self, shortlist: list[Scored]) -> tuple[list[Architecture], Architectures]:
        """Return the super-cells for the next segment, and the whole architectures that were measured to choose them.

        Where there are budgets, half of the super-cells come from the second beam.
        """
        measured = as_array(np.empty((0, len(self.problem.graph.num_choices))))
        rows = as_array([architecture for architecture, _ in shortlist])
        order = np.array([score for _, score in shortlist])
        if self.config.remeasure:
            fresh = self._completions(fresh=True)
            measured = _complete(rows, fresh)
            order = mean_rank(order, self._score(rows, fresh))
        ranked = [shortlist[i][0] for i in np.argsort(-order, kind="stable")]
        if not self.problem.budgets:
            return ranked[: self.config.keep], measured
        table = self.problem.graph.prefix(self.end).costs
        thrifty = [a for a in ranked if all(table[b.cost].of(a) <= b.upper for b in self._shares())]
        return list(dict.fromkeys([*thrifty[: (self.config.keep + 1) // 2], *ranked]))[: self.config.keep], measured


def _complete(rows: Architectures, tails: Sequence[Architecture]) -> Architectures:
    """Return whole architectures: all rows with the first tail, then all with the second, and so on."""
    return as_array(
        np.concatenate([np.concatenate([rows, np.tile(as_array(t), (len(rows), 1))], axis=1) for t in tails])
    )
