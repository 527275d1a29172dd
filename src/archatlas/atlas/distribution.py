"""What share of a space is better, and how its costs are spread: read off exact counts (`counting.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from archatlas.atlas.base import Axis, CostSummary, Percentile
from archatlas.atlas.counting import Counts

BAND = 0.02
"""Networks "of about the same cost" differ by at most this share of the cost's range over the space."""

BAND_SHAPE = (1, 3)
"""How cost and score share the bins."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    """The exact number of networks lies between `least` and `most`."""

    least: int
    most: int


Counted = Callable[[tuple[str, ...], tuple[int, ...]], tuple[list[Axis], Counts]]
"""`(names, shape)` -> axes and counts; a name is `screen`, `rank` or a cost. Does not count the same twice."""


def summarise(counted: Counted, name: str, minimum: float, maximum: float) -> CostSummary:
    """Return how a cost is distributed, its ends being known."""
    (axis,), counts = counted((name,), (1,))
    cumulated = np.cumsum(counts.astype(object))
    middle = int(np.argmax(cumulated * 2 >= cumulated[-1]))
    median = float(np.clip(axis.centres[middle], minimum, maximum))
    return CostSummary(name=name, minimum=minimum, median=median, maximum=maximum, median_error=axis.error)


def percentile(counted: Counted, threshold: float, screen: float, rank: float) -> Percentile:
    """Return which share of the space is better than a network of this screen and rank score.

    Among networks below the threshold the screen decides. A survivor is beaten by survivors of a higher rank: these
    are counted jointly (coarse bins), and are no more than all networks of a higher rank (fine bins).
    """
    if screen < threshold:
        return _alone(counted, "screen", screen)
    above = _alone(counted, "rank", rank)
    if not np.isfinite(threshold):
        return above
    axes, counts = counted(("screen", "rank"), (1, 1))
    alive, higher = _split_from(axes[0], threshold), _split_above(axes[1], rank)
    least, most = (int(counts[np.ix_(*bins)].sum()) for bins in zip(alive, higher, strict=True))
    total = int(counts.sum())
    return Percentile(lower=least / total, upper=min(most / total, above.upper))


def percentile_at_cost(
    counted: Counted, threshold: float, screen: float, rank: float, cost: tuple[str, float, float]
) -> Percentile:
    """Return which share of the networks of about the same cost is better than one of this screen and rank score.

    A survivor is beaten by networks that have a higher rank and survive. Both are counted for themselves: together
    they are no more than either, and no fewer than what the one leaves of the other.

    Args:
        counted: Counts the space.
        threshold: Smallest screen of a survivor.
        screen: Of the network.
        rank: Of the network.
        cost: Name of the cost, its value, and how far others may be from it. Where the bins are too coarse for
            that, the band is widened to what they can tell apart.
    """
    name, centre, half = cost
    survives = screen >= threshold
    half = max(half, 2 * counted((name, "rank" if survives else "screen"), BAND_SHAPE)[0][0].error)
    band = (centre - half, centre + half)
    if not survives:
        better, total = _in_band(counted, name, "screen", band, lambda axis: _split_above(axis, screen))
        return _share(better, total, band)
    better, total = _in_band(counted, name, "rank", band, lambda axis: _split_above(axis, rank))
    if np.isfinite(threshold):
        alive, _ = _in_band(counted, name, "screen", band, lambda axis: _split_from(axis, threshold))
        better = _Range(least=max(0, better.least - (total.most - alive.least)), most=min(better.most, alive.most))
    return _share(better, total, band)


def _share(better: _Range, total: _Range, band: tuple[float, float]) -> Percentile:
    lower = better.least / total.most if total.most else 0.0
    upper = min(1.0, better.most / total.least) if total.least else 1.0
    return Percentile(lower=lower, upper=upper, band=band)


def _alone(counted: Counted, name: str, value: float) -> Percentile:
    (axis,), counts = counted((name,), (1,))
    total = int(counts.sum())
    sure, possible = (int(counts[bins].sum()) for bins in _split_above(axis, value))
    return Percentile(lower=sure / total, upper=possible / total)


def _in_band(
    counted: Counted, cost: str, score: str, band: tuple[float, float], split: Callable[[Axis], tuple[Bools, Bools]]
) -> tuple[_Range, _Range]:
    """Return how many networks of a cost band have a score in the part that `split` marks, and how many there are."""
    (cost_axis, score_axis), counts = counted((cost, score), BAND_SHAPE)
    inside, touching = counts[_surely(cost_axis, *band)], counts[_maybe(cost_axis, *band)]
    sure, possible = split(score_axis)
    part = _Range(least=int(inside[:, sure].sum()), most=int(touching[:, possible].sum()))
    return part, _Range(least=int(inside.sum()), most=int(touching.sum()))


def _split_above(axis: Axis, value: float) -> tuple[Bools, Bools]:
    """Return which bins surely, and which possibly, hold values above a value."""
    return axis.centres - axis.error > value, axis.centres + axis.error > value


def _split_from(axis: Axis, value: float) -> tuple[Bools, Bools]:
    """Return which bins surely, and which possibly, hold values of at least a value."""
    return axis.centres - axis.error >= value, axis.centres + axis.error >= value


def _surely(axis: Axis, low: float, high: float) -> Bools:
    """Tell which bins hold only values from `low` to `high`."""
    return (axis.centres - axis.error >= low) & (axis.centres + axis.error <= high)


def _maybe(axis: Axis, low: float, high: float) -> Bools:
    """Tell which bins may hold a value from `low` to `high`."""
    return (axis.centres + axis.error >= low) & (axis.centres - axis.error <= high)
