"""The enumerated atlas: one row per network, for any predictor and spaces up to about 1e7 architectures.

Legend: `A` networks, `L` choice blocks.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from archatlas.atlas.base import (
    Answer,
    Axis,
    CostSummary,
    Density,
    Percentile,
    Scored,
    Subspace,
    check_costs,
    front,
    raise_infeasible,
)
from archatlas.atlas.distribution import BAND
from archatlas.atlas.networks import NETWORKS, numbers_to_architectures, write_networks
from archatlas.atlas.storage import HEADER, read_graph, write_header
from archatlas.errors import ArtifactMismatchError
from archatlas.files import atomic_path
from archatlas.records import Architecture, Architectures, Budget, Certificate, Floats, Prediction, as_array
from archatlas.spaces import SpaceGraph

KIND = "enumerated"
_BINS = 512


class Scorer(Protocol):
    """What is tabulated: a fitted predictor."""

    @property
    def graph(self) -> SpaceGraph:
        """The graph that it was fitted on."""

    def predict(self, architectures: Architectures) -> Prediction:
        """Return mean and std of `(A, L)`."""

    def rank(self, architectures: Architectures) -> Floats:
        """Return the order `(A,)`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnumeratedAtlas:
    """See `Atlas` for what can be asked.

    Args:
        graph: The space.
        directory: Where the table is.
        numbers: `(A,)`, the number of each network in the space, ascending.
        scores: `(A,)`, the predictor's order.
        values: Each cost `(A,)` by name.
    """

    graph: SpaceGraph
    directory: Path
    numbers: npt.NDArray[np.int64]
    scores: Floats
    values: Mapping[str, Floats]

    @property
    def size(self) -> int:
        """Number of distinct networks."""
        return len(self.numbers)

    @property
    def cost_names(self) -> tuple[str, ...]:
        """The costs that budgets may name."""
        return tuple(self.values)

    def score(self, architectures: Architectures) -> Floats:
        """Return `(A,)`, the predictor's order of `(A, L)`; higher is better."""
        return np.asarray(self.scores[self._rows(architectures)])

    def costs(self, architectures: Architectures) -> dict[str, Floats]:
        """Return each cost `(A,)` of `(A, L)`."""
        rows = self._rows(architectures)
        return {name: values[rows] for name, values in self.values.items()}

    def top(self, k: int, budgets: Sequence[Budget] = (), within: Sequence[Subspace] | None = None) -> list[Scored]:
        """Return the `k` best networks; see `Atlas.top`."""
        rows = self._admitted(budgets, within)
        if not len(rows) and budgets:
            raise_infeasible(self, budgets, within)
        best = rows[np.argsort(-self.scores[rows], kind="stable")[:k]]
        return [(self._architecture(row), float(self.scores[row])) for row in best]

    def best(self, budgets: Sequence[Budget] = ()) -> Answer:
        """Return the best network within the budgets; the certificate has no gap."""
        ((architecture, _),) = self.top(1, budgets)
        return self._answer(int(self._rows(as_array([architecture]))[0]))

    def pareto(self, cost: str, levels: int = 512) -> list[Answer]:
        """Return the front; see `Atlas.pareto`."""
        check_costs([cost], self.cost_names)
        values = self.values[cost]
        order = np.lexsort((-self.scores, values))
        best = np.maximum.accumulate(self.scores[order])
        improves = np.append(True, self.scores[order][1:] > best[:-1])
        first = np.maximum.accumulate(np.where(improves, np.arange(self.size), 0))
        limits = np.append(np.linspace(values.min(), values.max(), levels)[:-1], values.max())
        last = np.searchsorted(values[order], limits, side="right") - 1
        return front([self._answer(int(order[first[i]])) for i in last], cost)

    def density(self, cost: str) -> Density:
        """Return how many networks there are of each cost and score."""
        check_costs([cost], self.cost_names)
        quantities = {cost: self.values[cost], "score": self.scores}
        axes = [_even_axis(name, values) for name, values in quantities.items()]
        bins = [np.rint((v - a.origin) / a.width).astype(int) for a, v in zip(axes, quantities.values(), strict=True)]
        counts = np.bincount(bins[0] * axes[1].bins + bins[1], minlength=axes[0].bins * axes[1].bins)
        return Density(cost=axes[0], score=axes[1], counts=counts.reshape(axes[0].bins, axes[1].bins))

    def percentile(self, architecture: Architecture, at_cost: str | None = None) -> Percentile:
        """Return which share is better, exactly: both bounds are equal."""
        row = int(self._rows(as_array([architecture]))[0])
        if at_cost is None:
            share = float((self.scores > self.scores[row]).mean())
            return Percentile(lower=share, upper=share)
        check_costs([at_cost], self.cost_names)
        values = self.values[at_cost]
        half = BAND * float(values.max() - values.min())
        band = (float(values[row]) - half, float(values[row]) + half)
        near = (values >= band[0]) & (values <= band[1])
        share = float((self.scores[near] > self.scores[row]).mean())
        return Percentile(lower=share, upper=share, band=band)

    def summaries(self) -> list[CostSummary]:
        """Return minimum, median and maximum of each cost over the networks of the space."""
        middle = (self.size - 1) // 2
        return [
            CostSummary(
                name=name,
                minimum=float(values.min()),
                median=float(np.partition(values, middle)[middle]),
                maximum=float(values.max()),
                median_error=0.0,
            )
            for name, values in self.values.items()
        ]

    def attainable(self, cost: str, budgets: Sequence[Budget] = (), within: Sequence[Subspace] | None = None) -> float:
        """Return the smallest cost of any network within the budgets; infinity if there is none."""
        return float(self.values[cost][self._admitted(budgets, within)].min(initial=np.inf))

    def save(self, directory: Path) -> None:
        """Write the table to another directory; where it was built it already is."""
        if directory.resolve() != self.directory.resolve():
            with atomic_path(directory / NETWORKS) as temporary:
                shutil.copyfile(self.directory / NETWORKS, temporary)
            write_header(directory, KIND, self.graph, rows=self.size)

    def _rows(self, architectures: Architectures) -> npt.NDArray[np.intp]:
        columns = tuple(self.graph.canonical(architectures).T.astype(np.intp))
        numbers = np.ravel_multi_index(columns, self.graph.num_choices)
        return np.asarray(np.searchsorted(self.numbers, numbers))

    def _architecture(self, row: int) -> Architecture:
        return tuple(map(int, numbers_to_architectures(self.graph, self.numbers[[row]])[0]))

    def _answer(self, row: int) -> Answer:
        score = float(self.scores[row])
        return Answer(
            architecture=self._architecture(row),
            score=score,
            costs={name: float(values[row]) for name, values in self.values.items()},
            certificate=Certificate(lower=score, upper=score),
        )

    def _admitted(self, budgets: Sequence[Budget], within: Sequence[Subspace] | None) -> npt.NDArray[np.intp]:
        """Return the rows of all networks within the budgets and in one of the sub-spaces."""
        check_costs([budget.cost for budget in budgets], self.cost_names)
        admitted = np.ones(self.size, dtype=bool)
        for budget in budgets:
            admitted &= self.values[budget.cost] <= budget.upper
        rows = np.flatnonzero(admitted)
        if within is None:
            return rows
        architectures = numbers_to_architectures(self.graph, self.numbers[rows])
        inside = np.zeros(len(rows), dtype=bool)
        for allowed in within:
            inside |= np.all([np.isin(c, ops) for c, ops in zip(architectures.T, allowed, strict=True)], axis=0)
        return rows[inside]


def _even_axis(name: str, values: Floats) -> Axis:
    """Return bins from the smallest to the largest value."""
    low, high = float(values.min()), float(values.max())
    width = (high - low) / (_BINS - 1) or 1.0
    return Axis(
        name=name, origin=low, width=width, bins=_BINS if high > low else 1, error=width / 2 if high > low else 0
    )


def enumerate_space(predictor: Scorer, directory: Path) -> EnumeratedAtlas:
    """Score every network of a space, in chunks of bounded memory, and write the table.

    Args:
        predictor: Fitted; its `rank` becomes the column `score`, its prediction `mean` and `std`.
        directory: Receives `networks.parquet` and `atlas.json`.

    Raises:
        ConfigError: If the space is too large.
    """
    graph = predictor.graph

    def describe(architectures: Architectures) -> dict[str, Floats]:
        prediction = predictor.predict(architectures)
        scores = {"score": predictor.rank(architectures), "mean": prediction.mean, "std": prediction.std}
        return scores | {name: table(architectures) for name, table in graph.costs.items()}

    rows = write_networks(directory / NETWORKS, graph, describe)
    write_header(directory, KIND, graph, rows=rows)
    return _read(directory, graph, rows)


def load_enumerated(directory: Path, header: Mapping[str, Any]) -> EnumeratedAtlas:
    """Read what `enumerate_space` wrote; raises `ArtifactMismatchError` if it cannot."""
    return _read(directory, read_graph(header, directory / HEADER), header.get("rows"))


def _read(directory: Path, graph: SpaceGraph, rows: object) -> EnumeratedAtlas:
    path = directory / NETWORKS
    try:
        table = pq.read_table(path, columns=["number", "score", *graph.costs], memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactMismatchError(f"{path} is missing or damaged ({error}); build the atlas again.") from None
    if table.num_rows != rows or not rows:
        raise ArtifactMismatchError(f"{path} has {table.num_rows} rows, expected {rows}; build the atlas again.")
    return EnumeratedAtlas(
        graph=graph,
        directory=directory,
        numbers=table["number"].to_numpy(),
        scores=table["score"].to_numpy(),
        values={name: table[name].to_numpy() for name in graph.costs},
    )
