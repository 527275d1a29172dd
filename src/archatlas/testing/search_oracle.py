"""Problems whose true scores are known, so that every search can be compared with enumeration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from archatlas.predictors import PredictorConfig, build_predictor
from archatlas.predictors.config import PredictorName
from archatlas.predictors.order import OrderConfig
from archatlas.records import Budget, CostTable, Evaluation, Floats, as_array
from archatlas.search import Problem
from archatlas.spaces import SpaceGraph

PLAIN_ORDER = OrderConfig(
    keep=1.0, screen_capacity=0.0, rank_capacity=0.0, operator_std=30.0, stage_std=30.0, block_std=30.0
)
"""No screen, no capacity, hardly any shrinkage: the fit of an additive score is the score."""


def graph_of(num_choices: tuple[int, ...] = (3, 3, 3), *, idle: bool = False) -> SpaceGraph:
    """Return a chain with random costs; with `idle`, all blocks are interchangeable and operator 0 does nothing."""
    rng = np.random.default_rng(5)
    stage = (0,) * len(num_choices) if idle else tuple(range(len(num_choices)))
    drawn = {s: rng.integers(1, 50, num_choices[s]).astype(float) for s in set(stage)}
    entries = tuple(drawn[s] for s in stage)
    costs = {
        "macs": CostTable(name="macs", fixed=10.0, entries=entries),
        "params": CostTable(name="params", fixed=1.0, entries=tuple(np.sqrt(e) for e in entries)),
    }
    return SpaceGraph(
        name="known",
        num_choices=tuple(num_choices),
        edges=tuple((i, i + 1) for i in range(len(num_choices) - 1)),
        stages=stage,
        attribute_names=("number",),
        attributes=tuple(np.arange(count, dtype=float)[:, None] for count in num_choices),
        no_ops=tuple(tuple(idle and o == 0 for o in range(count)) for count in num_choices),
        costs=costs,
    )


class Known:
    """Measures a known score: additive effects per block, plus `interaction` times noise that every network keeps."""

    def __init__(self, graph: SpaceGraph, *, seed: int = 0, interaction: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        self.graph = graph
        self.effects = [rng.normal(size=count) for count in graph.num_choices]
        self.noise = interaction * rng.normal(size=graph.num_choices)
        self.measured: Counter[tuple[int, ...]] = Counter()

    def loss(self, architectures: npt.ArrayLike) -> Floats:
        """Return the loss `(A,)`, lower is better."""
        rows = self.graph.canonical(as_array(architectures)).astype(int)
        effects = np.sum([effect[column] for effect, column in zip(self.effects, rows.T, strict=True)], axis=0)
        return np.asarray(10.0 - effects - self.noise[tuple(rows.T)])

    def __call__(self, architectures: npt.ArrayLike) -> list[Evaluation]:
        """Measure `(A, L)` and count how often each was asked for."""
        rows = [tuple(row) for row in as_array(architectures).tolist()]
        self.measured.update(rows)
        losses = self.loss(rows)
        return [
            Evaluation(architecture=a, loss=float(v), accuracy=0.5, num_images=1)
            for a, v in zip(rows, losses, strict=True)
        ]

    def brute_force(self, budgets: tuple[Budget, ...] = ()) -> float:
        """Return the smallest loss that any network within the budgets has."""
        rows = as_array(np.indices(self.graph.num_choices).reshape(len(self.graph.num_choices), -1).T)
        met = np.ones(len(rows), dtype=bool)
        for budget in budgets:
            met &= self.graph.costs[budget.cost](rows) <= budget.upper
        return float(self.loss(rows[met]).min())


def _ignore(line: str) -> None:
    """Log nothing."""


def problem_of(
    known: Known,
    *,
    budgets: tuple[Budget, ...] = (),
    seed: int = 0,
    log: Callable[[str], None] = _ignore,
    name: PredictorName = "ridge",
) -> Problem:
    """Return the problem of searching a known score."""
    predictor = build_predictor(PredictorConfig(name=name, order=PLAIN_ORDER))
    return Problem(graph=known.graph, measure=known, predictor=predictor, budgets=budgets, seed=seed, log=log)
