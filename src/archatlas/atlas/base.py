"""The contract of an atlas: what can be asked about every architecture of a space, and what an answer looks like.

Two forms: `FactoredAtlas` (window terms; spaces of any size, answers by exact search) and `EnumeratedAtlas` (one row
per network; any predictor, spaces up to about 1e7). Both follow the predictor's order, count networks that are the
same function once, and hold budgets on the true cost of what they return.

Legend: `A` architectures, `L` choice blocks, `O_i` operators of block `i`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from archatlas.errors import ConfigError, InfeasibleBudgetError
from archatlas.records import Architecture, Architectures, Budget, Certificate, Floats, frozen
from archatlas.spaces import SpaceGraph

Subspace = Sequence[Sequence[int]]
"""The operators to choose from, per block; a fixed prefix is a run of blocks with one operator each."""

Scored = tuple[Architecture, float]
"""An architecture and its score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A network that an atlas proposes.

    Args:
        architecture: Canonical.
        score: Its score in the predictor's order, higher is better.
        costs: Each cost by name.
        certificate: What is known of the optimum: `lower` is `score`, nothing admissible scores above `upper`.
    """

    architecture: Architecture
    score: float
    costs: dict[str, float]
    certificate: Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSummary:
    """How a cost is distributed over the networks of a space.

    Args:
        name: Of the cost.
        minimum: Smallest value of any network.
        median: Half of the networks cost no more.
        maximum: Largest value of any network.
        median_error: The true median is this close to `median`.
    """

    name: str
    minimum: float
    median: float
    maximum: float
    median_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Bins of equal width. Bin `b` is centred at `origin + b * width`.

    Args:
        name: What the axis measures.
        origin: Centre of the first bin.
        width: Of a bin.
        bins: Number of bins.
        error: A network in a bin has a value this close to the centre of the bin, at most.
    """

    name: str
    origin: float
    width: float
    bins: int
    error: float

    @property
    def centres(self) -> Floats:
        """Centres of the bins, `(bins,)`."""
        return self.origin + self.width * np.arange(self.bins, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Density:
    """How many networks there are of each cost and score.

    Args:
        cost: The first axis.
        score: The second axis.
        counts: `(cost bins, score bins)` exact integers: `int64`, or Python integers where a count does not fit.
    """

    cost: Axis
    score: Axis
    counts: npt.NDArray[np.int64] | npt.NDArray[np.object_]

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", frozen(self.counts))

    @property
    def total(self) -> int:
        """The number of networks."""
        return sum(int(count) for count in self.counts.ravel() if count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """The share of networks that are better than a given one lies between `lower` and `upper`.

    Args:
        lower: 0 to 1.
        upper: 0 to 1; "better than all but `upper` of the space".
        band: The smallest and largest cost of the networks that it was compared with; None for the whole space.
    """

    lower: float
    upper: float
    band: tuple[float, float] | None = None


class Atlas(Protocol):
    """What every atlas answers. Architectures given are brought to canonical form first."""

    @property
    def graph(self) -> SpaceGraph:
        """The space."""

    @property
    def size(self) -> int:
        """Number of distinct networks, an exact integer."""

    @property
    def cost_names(self) -> tuple[str, ...]:
        """The costs that budgets may name."""

    def score(self, architectures: Architectures) -> Floats:
        """Return `(A,)`, the predictor's order of `(A, L)`; higher is better."""

    def costs(self, architectures: Architectures) -> dict[str, Floats]:
        """Return each cost `(A,)` of `(A, L)`."""

    def top(self, k: int, budgets: Sequence[Budget] = (), within: Sequence[Subspace] | None = None) -> list[Scored]:
        """Return the `k` best networks, best first, or all where there are fewer.

        Args:
            k: How many.
            budgets: Every network meets all of them.
            within: Only networks whose canonical form lies in one of these sub-spaces; None for the whole space.

        Raises:
            InfeasibleBudgetError: If no network meets the budgets.
            ConfigError: If a budget names an unknown cost.
        """

    def best(self, budgets: Sequence[Budget] = ()) -> Answer:
        """Return the best network within the budgets, with a certificate; raises like `top`."""

    def pareto(self, cost: str, levels: int = 512) -> list[Answer]:
        """Return the front: the best networks at `levels` even cost levels, cheapest first, none dominated.

        A network's certificate is the weakest of those of the levels that it is the answer to.
        """

    def density(self, cost: str) -> Density:
        """Return how many networks there are of each cost and score."""

    def percentile(self, architecture: Architecture, at_cost: str | None = None) -> Percentile:
        """Return which share of the space, or of the networks of about the same cost, is better."""

    def attainable(self, cost: str, budgets: Sequence[Budget] = (), within: Sequence[Subspace] | None = None) -> float:
        """Return the smallest cost of any network within the budgets; infinity if there is none."""

    def summaries(self) -> list[CostSummary]:
        """Return minimum, median and maximum of each cost."""

    def save(self, directory: Path) -> None:
        """Write the atlas; `load_atlas` reads it."""


def check_costs(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse unknown costs.

    Raises:
        ConfigError: Names the known ones.
    """
    for name in names:
        if name not in known:
            raise ConfigError(f"The atlas has no cost {name!r}; it knows: {', '.join(known) or 'none'}.")


def raise_infeasible(atlas: Atlas, budgets: Sequence[Budget], within: Sequence[Subspace] | None) -> None:
    """Raise for the first budget that cannot be met together with those before it.

    Raises:
        InfeasibleBudgetError: Says what is attainable.
    """
    for i, budget in enumerate(budgets):
        least = atlas.attainable(budget.cost, budgets[:i], within)
        if least <= budget.upper:
            continue
        note, hint = " of the sub-space" if within else "", ""
        if i:
            note += " with " + " and ".join(f"{other.cost} <= {other.upper:,.12g}" for other in budgets[:i])
        for other in budgets[:i]:
            swapped = atlas.attainable(other.cost, [budget], within)
            if other.upper < swapped < np.inf:
                hint += f" With {budget.cost} <= {budget.upper:,.12g} the smallest {other.cost} is {swapped:,.12g}."
        raise InfeasibleBudgetError(budget.cost, budget.upper, least, note, hint)


def front(answers: Sequence[Answer], cost: str) -> list[Answer]:
    """Return the answers of ascending cost levels without those that are dominated, cheapest first.

    A network that answers several levels keeps the weakest of its certificates. Scores that differ by rounding alone
    are equal.
    """
    kept: dict[Architecture, Answer] = {}
    best = -float(np.finfo(float).max)
    for answer in sorted(answers, key=lambda answer: (answer.costs[cost], -answer.score)):
        held = kept.get(answer.architecture)
        if held is not None:
            upper = max(held.certificate.upper, answer.certificate.upper)
            kept[answer.architecture] = replace(held, certificate=replace(held.certificate, upper=upper))
        elif answer.score > best + 1e-9 * max(1.0, abs(best)):
            kept[answer.architecture] = answer
            best = answer.score
    return list(kept.values())
