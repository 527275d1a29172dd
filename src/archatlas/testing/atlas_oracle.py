"""The atlas by brute force: score every architecture of a small space and look.

Also random spaces, terms and costs to compare on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from archatlas.records import (
    Architectures,
    Budget,
    CostTable,
    Floats,
    TwoStageTerms,
    WindowTerms,
    as_array,
)
from archatlas.spaces import SpaceGraph


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BruteForce:
    """Every distinct network with its score and costs.

    Args:
        architectures: `(A, L)`, the canonical ones.
        scores: `(A,)`.
        costs: Each cost `(A,)` by name.
    """

    architectures: Architectures
    scores: Floats
    costs: Mapping[str, Floats]

    def within(self, budgets: Sequence[Budget]) -> npt.NDArray[np.bool_]:
        """Tell which networks `(A,)` meet all budgets."""
        admitted = np.ones(len(self.scores), dtype=bool)
        for budget in budgets:
            admitted &= self.costs[budget.cost] <= budget.upper
        return admitted

    def top_scores(self, k: int, budgets: Sequence[Budget] = ()) -> Floats:
        """Return the scores of the `k` best networks within the budgets, best first."""
        return np.sort(self.scores[self.within(budgets)])[::-1][:k]

    def better(self, score: float) -> int:
        """Return how many networks score more."""
        return int((self.scores > score).sum())


def brute_force(graph: SpaceGraph, order: TwoStageTerms) -> BruteForce:
    """Enumerate a small space."""
    everything = as_array(np.indices(graph.num_choices).reshape(len(graph.num_choices), -1).T)
    networks = everything[(graph.canonical(everything) == everything).all(axis=1)]
    costs = {name: table(networks) for name, table in graph.costs.items()}
    return BruteForce(architectures=networks, scores=order(networks), costs=costs)


def random_terms(
    num_choices: Sequence[int], radius: int, rng: np.random.Generator, *, ties: bool = False
) -> WindowTerms:
    """Return window terms of standard normal numbers, or of small integers so that many scores are equal."""
    length = len(num_choices)
    shapes = [tuple(num_choices[max(0, i - radius) : i + radius + 1]) for i in range(length)]
    draw = [rng.integers(-1, 2, shape).astype(float) if ties else rng.normal(size=shape) for shape in shapes]
    return WindowTerms(radius=radius, terms=tuple(draw), offset=float(rng.normal()))


def random_graph(
    num_choices: Sequence[int],
    rng: np.random.Generator,
    *,
    stages: Sequence[int] | None = None,
    integer_costs: bool = False,
) -> SpaceGraph:
    """Return a chain with two random costs; blocks of one stage are interchangeable and their last operator idles.

    Args:
        num_choices: Operators per block; equal within a stage.
        rng: Source of the costs.
        stages: Stage of each block; None puts each block into its own.
        integer_costs: Small integers, zeros and repeats among them, instead of real numbers.
    """
    length = len(num_choices)
    numbers = tuple(range(length)) if stages is None else tuple(stages)
    costs = {}
    for name in ("macs", "latency_ms"):
        by_stage = {
            stage: rng.integers(0, 4, count).astype(float) if integer_costs else rng.gamma(1.0, size=count)
            for stage, count in zip(numbers, num_choices, strict=True)
        }
        costs[name] = CostTable(name=name, fixed=float(rng.integers(3)), entries=tuple(by_stage[s] for s in numbers))
    return SpaceGraph(
        name="random",
        num_choices=tuple(num_choices),
        edges=tuple((i, i + 1) for i in range(length - 1)),
        stages=numbers,
        attribute_names=("number",),
        attributes=tuple(np.arange(count, dtype=float)[:, None] for count in num_choices),
        no_ops=tuple(
            tuple(numbers.count(stage) > 1 and o == count - 1 for o in range(count))
            for stage, count in zip(numbers, num_choices, strict=True)
        ),
        costs=costs,
    )
