"""Costs as people read and set them: a scale that suits the space, and even steps for a slider."""

from __future__ import annotations

import math
from dataclasses import dataclass

from archatlas.atlas import CostSummary

_LABELS = {"macs": "MACs", "params": "parameters", "latency_ms": "latency"}
_SCALES = ((1e9, "billion"), (1e6, "million"), (1e3, "thousand"))
_POSITIONS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A cost with the scale that it is shown in.

    Args:
        name: Of the cost, as the atlas knows it.
        label: As people say it.
        unit: What a shown number counts, such as `million` or `ms`; empty for plain numbers.
        scale: A shown number times this is the cost.
        low: Smallest position of a slider that some network meets, in shown numbers.
        high: Largest position, at least the cost of every network; stands for "no limit".
        step: Between two positions.
    """

    name: str
    label: str
    unit: str
    scale: float
    low: float
    high: float
    step: float

    def text(self, value: float) -> str:
        """Return a cost rounded for reading, such as `349.9 million`."""
        return f"{value / self.scale:,.4g} {self.unit}".rstrip()

    def limit(self, shown: float | None) -> float | None:
        """Return the upper bound that a position stands for; None for no limit."""
        return None if shown is None or shown >= self.high else shown * self.scale

    def shown(self, limit: float | None) -> float:
        """Return the position of an upper bound; inverse of `limit`."""
        return self.high if limit is None else min(self.high, limit / self.scale)


def quantity(summary: CostSummary) -> Quantity:
    """Return how a cost of this range is shown: about 200 positions, steps of 1, 2 or 5 times a power of ten."""
    scale, unit = (1.0, "ms") if summary.name.endswith("_ms") else _scale(summary.maximum)
    low, high = summary.minimum / scale, summary.maximum / scale
    step = _even((high - low) / _POSITIONS)
    digits = max(0, -math.floor(math.log10(step)))
    return Quantity(
        name=summary.name,
        label=_LABELS.get(summary.name, summary.name),
        unit=unit,
        scale=scale,
        low=round(math.ceil(round(low / step, 9)) * step, digits),
        high=round(math.ceil(round(high / step, 9)) * step, digits),
        step=step,
    )


def _scale(maximum: float) -> tuple[float, str]:
    return next(((scale, word) for scale, word in _SCALES if maximum >= scale), (1.0, ""))


def _even(width: float) -> float:
    """Return the power of ten, times 1, 2 or 5, that is no smaller than a width."""
    if width <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(width))
    return next(round(factor * power, 12) for factor in (1, 2, 5, 10) if factor * power >= width * (1 - 1e-9))
