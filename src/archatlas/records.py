"""The records that travel between the stages.

Legend: `A` architectures, `L` choice blocks, `O_i` operators of block `i`. Records are frozen, their arrays
are read-only, higher scores are better, accuracies are fractions, units stand in the names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from archatlas.errors import InvalidArchitectureError

STAGES = ("train", "search", "fit", "retrain")
"""The stages of a run, in order."""

Architecture = tuple[int, ...]
"""One operator index per choice block."""

Architectures = npt.NDArray[np.uint8]
"""A batch of architectures, `(A, L)`."""

Floats = npt.NDArray[np.float64]


def format_architecture(architecture: Architecture) -> str:
    """Write an architecture as text that `parse_architecture` reads back: digits, or numbers with dashes."""
    separator = "" if max(architecture, default=0) < 10 else "-"
    return separator.join(str(int(operator)) for operator in architecture)


def parse_architecture(text: str) -> Architecture:
    """Read an architecture from digits (`20235`) or from numbers divided by `-`, `,` or blanks (`10-2-3`).

    Raises:
        InvalidArchitectureError: If the text is neither.
    """
    parts = [part for part in re.split(r"[\s,\-()\[\]]+", text) if part]
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidArchitectureError(
            f"Expected an architecture such as 20135 or 10-2-3 (one operator index per block), got {text!r}."
        )
    return tuple(int(part) for part in (parts if len(parts) > 1 else parts[0]))


def as_array(architectures: npt.ArrayLike) -> Architectures:
    """Stack architectures to `(A, L)` of `uint8`; raises InvalidArchitectureError for an index outside 0 to 255."""
    array = np.asarray(architectures)
    if array.dtype != np.uint8 and array.size and (array.min() < 0 or array.max() > 255):
        raise InvalidArchitectureError(f"Operator indices lie between 0 and 255, got {array.min()} to {array.max()}.")
    return array.astype(np.uint8, copy=False)


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a read-only copy of an array."""
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A measured one-shot score of one sub-network.

    Args:
        architecture: The sub-network.
        loss: Mean cross-entropy on the validation images, in nats.
        accuracy: Share of validation images classified correctly, 0 to 1.
        num_images: Number of validation images.
    """

    architecture: Architecture
    loss: float
    accuracy: float
    num_images: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """A predictor's answer for `A` architectures.

    Args:
        mean: `(A,)`, predicted score in normal-score units, higher is better.
        std: `(A,)`, spread of the ensemble in the same units, 0 where the predictor has none.
    """

    mean: Floats
    std: Floats

    def __post_init__(self) -> None:
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise ValueError(f"mean {self.mean.shape} and std {self.std.shape} must be (A,).")
        object.__setattr__(self, "mean", frozen(self.mean))
        object.__setattr__(self, "std", frozen(self.std))


class Cost(Protocol):
    """What a network costs: a number for every architecture that can be minimised exactly."""

    @property
    def name(self) -> str:
        """`macs`, `params` or `latency_ms`."""

    @property
    def terms(self) -> WindowTerms:
        """The cost as a sum over windows; of radius 0 where it adds up over blocks."""

    @property
    def minimum(self) -> float:
        """The cost of the cheapest architecture."""

    @property
    def maximum(self) -> float:
        """The cost of the most expensive architecture."""

    def __call__(self, architectures: Architectures) -> Floats:
        """Return the cost `(A,)` of architectures `(A, L)`."""

    def of(self, architecture: Architecture) -> float:
        """Return the cost of one architecture."""

    def prefix(self, length: int) -> Cost:
        """Return the cost of the first `length` blocks; what follows counts with its cheapest operators."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostTable:
    """A cost that adds up over blocks: `fixed + sum_i entries[i][a_i]`.

    Args:
        name: `macs`, `params` or `latency_ms`.
        fixed: What stem and head cost.
        entries: One array `(O_i,)` per block.
    """

    name: str
    fixed: float
    entries: tuple[Floats, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(frozen(np.asarray(e, dtype=float)) for e in self.entries))

    def __call__(self, architectures: Architectures) -> Floats:
        """Return the cost `(A,)` of architectures `(A, L)`; `L` may be a prefix of the chain."""
        total = np.full(len(architectures), self.fixed, dtype=float)
        for column, entry in zip(np.asarray(architectures).T, self.entries, strict=False):
            total += entry[column]
        return total

    @property
    def terms(self) -> WindowTerms:
        """The table as window terms of radius 0; equal to the last digit."""
        return WindowTerms(radius=0, terms=self.entries, offset=self.fixed)

    def of(self, architecture: Architecture) -> float:
        """Return the cost of one architecture."""
        return float(self(as_array([architecture]))[0])

    @property
    def minimum(self) -> float:
        """The cost of the cheapest architecture."""
        return self.fixed + float(sum(entry.min() for entry in self.entries))

    @property
    def maximum(self) -> float:
        """The cost of the most expensive architecture."""
        return self.fixed + float(sum(entry.max() for entry in self.entries))

    def prefix(self, length: int) -> CostTable:
        """Return the table of the first `length` blocks; what follows counts with its cheapest operators."""
        rest = sum(float(entry.min()) for entry in self.entries[length:])
        return CostTable(name=self.name, fixed=self.fixed + rest, entries=self.entries[:length])


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A constraint: `cost <= upper`."""

    cost: str
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowTerms:
    """A score that is a sum over windows of the chain: `offset + sum_i terms[i][a_(i-K) .. a_(i+K)]`.

    The term of block `i` has one axis per block from `max(0, i - K)` to `min(L - 1, i + K)`, in order, each as
    long as that block has operators. With `radius` 0 the score is additive.

    Args:
        radius: `K`, how far a window reaches to either side.
        terms: `L` arrays.
        offset: Added to every score.
    """

    radius: int
    terms: tuple[Floats, ...]
    offset: float = 0.0

    def __post_init__(self) -> None:
        for i, term in enumerate(self.terms):
            width = min(len(self.terms) - 1, i + self.radius) - max(0, i - self.radius) + 1
            if term.ndim != width:
                raise ValueError(f"term {i} must have {width} axes (radius {self.radius}), has {term.ndim}.")
        object.__setattr__(self, "terms", tuple(frozen(np.asarray(t, dtype=float)) for t in self.terms))

    @property
    def num_choices(self) -> tuple[int, ...]:
        """Number of operators of each block."""
        return tuple(term.shape[min(i, self.radius)] for i, term in enumerate(self.terms))

    def parts(self, architecture: Architecture) -> list[float]:
        """Return the term of each block of one architecture; with `offset` they add up to its score."""
        reach = self.radius
        return [float(term[architecture[max(0, i - reach) : i + reach + 1]]) for i, term in enumerate(self.terms)]

    def __call__(self, architectures: Architectures) -> Floats:
        """Return the scores `(A,)` of architectures `(A, L)`: one gather per block.

        Raises:
            InvalidArchitectureError: If an operator index is too large for its block.
        """
        columns = np.ascontiguousarray(np.asarray(architectures).T)
        largest = columns.max(axis=1, initial=0)
        if (largest >= self.num_choices).any():
            raise InvalidArchitectureError(
                f"Blocks have {self.num_choices} operators, numbered from 0; an architecture has {largest.tolist()}."
            )
        total = np.full(columns.shape[1], self.offset, dtype=float)
        for i, term in enumerate(self.terms):
            window = columns[max(0, i - self.radius) : i + self.radius + 1]
            index = window[0].astype(np.int32)  # a window has far fewer than 2^31 entries
            for column, count in zip(window[1:], term.shape[1:], strict=True):
                index *= count
                index += column
            total += term.ravel().take(index)
        return total

    def cheapest_rest(self, length: int) -> Floats:
        """Return the smallest sum of all terms that reach beyond the first `length` blocks.

        Returns:
            One axis per block from `max(0, length - 2 K)` to `length - 1`, in order; a scalar for length 0.
        """
        last = len(self.terms) - 1
        rest = np.zeros(self.num_choices[max(0, last + 1 - self.radius) :])
        for i in range(last, length - self.radius - 1, -1):  # blocks max(0, i - K) to min(last, i + K) are its axes
            rest = self.terms[i] + rest if i >= 0 else rest
            rest = rest.min(axis=-1) if i + self.radius <= last else rest
        return np.asarray(rest)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowCost:
    """A cost in which neighbouring blocks interact, such as a latency that was learnt from whole networks.

    Args:
        name: `latency_ms`, for one.
        terms: The cost as a sum over windows.
    """

    name: str
    terms: WindowTerms

    def __call__(self, architectures: Architectures) -> Floats:
        """Return the cost `(A,)` of architectures `(A, L)`."""
        return self.terms(architectures)

    def of(self, architecture: Architecture) -> float:
        """Return the cost of one architecture."""
        return float(self(as_array([architecture]))[0])

    @property
    def minimum(self) -> float:
        """The cost of the cheapest architecture."""
        return self.terms.offset + float(self.terms.cheapest_rest(0))

    @property
    def maximum(self) -> float:
        """The cost of the most expensive architecture."""
        negative = WindowTerms(radius=self.terms.radius, terms=tuple(-term for term in self.terms.terms))
        return self.terms.offset - float(negative.cheapest_rest(0))

    def prefix(self, length: int) -> WindowCost:
        """Return the cost of the first `length` blocks; what follows counts with its cheapest operators."""
        if length == len(self.terms.terms):
            return self
        counts, radius = self.terms.num_choices[:length], self.terms.radius
        rest = self.terms.cheapest_rest(length)
        first = max(0, length - radius)  # the first block whose window reaches beyond the prefix
        terms = [*self.terms.terms[:first]]
        for i in range(first, length):
            window = np.zeros(counts[max(0, i - radius) : i + radius + 1])
            terms.append(rest + window if i == first else window)
        offset = self.terms.offset + (float(rest) if rest.ndim == 0 else 0.0)
        return WindowCost(name=self.name, terms=WindowTerms(radius=radius, terms=tuple(terms), offset=offset))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TwoStageTerms:
    """The order of all architectures: a flexible score screens, a smooth score ranks the survivors.

    Architectures with `screen >= threshold` come first, ordered by `rank`; all others follow, ordered by `screen`.
    A threshold of minus infinity switches the screen off.

    Args:
        screen: The flexible score; knows which networks are broken.
        rank: The smooth score; picks among the good ones.
        threshold: Smallest `screen` of a survivor.
    """

    screen: WindowTerms
    rank: WindowTerms
    threshold: float

    def __call__(self, architectures: Architectures) -> Floats:
        """Return the rank score `(A,)`: higher is better, and every survivor is above every other."""
        return two_stage(self.screen(architectures), self.rank, self.threshold, architectures)


def two_stage(screen: Floats, rank: WindowTerms, threshold: float, architectures: Architectures) -> Floats:
    """Return the order `(A,)` of `TwoStageTerms`, for screens `(A,)` of architectures `(A, L)` from any source."""
    return np.where(screen >= threshold, rank(architectures), below_survivors(screen, rank, threshold))


def below_survivors(screen: Floats, rank: WindowTerms, threshold: float) -> Floats:
    """Return scores `(A,)` in the order of screens `(A,)`, all below what `rank` gives to any architecture."""
    lowest = rank.offset + sum(float(term.min()) for term in rank.terms)
    return lowest - 1.0 + np.minimum(screen - threshold, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """How far an answer can be from the true optimum.

    Args:
        lower: Score of the answer.
        upper: No admissible architecture scores more.
    """

    lower: float
    upper: float

    @property
    def gap(self) -> float:
        """`upper - lower`; 0 is a proof of optimality."""
        return self.upper - self.lower


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An architecture that a search kept, with what is known of it.

    Args:
        architecture: The whole network.
        predicted: Rank score of the predictor, higher is better.
        costs: Each cost by name.
        measured: One-shot validation loss and accuracy where the super-network measured it again.
    """

    architecture: Architecture
    predicted: float
    costs: dict[str, float] = field(default_factory=dict)
    measured: Evaluation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search returns.

    Args:
        best: The chosen network.
        finalists: Every network that was measured in the last step, best first; `best` is the first.
        num_evaluations: Sub-networks that the search asked the super-network for.
        shortlisted: Networks measured for their predicted score alone; they would bias a fit.
    """

    best: Candidate
    finalists: tuple[Candidate, ...]
    num_evaluations: int
    shortlisted: tuple[Architecture, ...] = ()


class Monitor(Protocol):
    """Told how far a stage is; the command line draws it."""

    def __call__(self, done: int, total: int, **figures: float) -> None:
        """Report `done` of `total` units, with figures worth showing."""


def silent(done: int, total: int, **figures: float) -> None:
    """Show nothing (a `Monitor`)."""
