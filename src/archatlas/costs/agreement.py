"""How well predicted costs agree with whole networks that were measured and held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from archatlas.records import Floats

MOST_MAPE, LEAST_TAU = 0.10, 0.80
"""Beyond these a table says that it agrees too little."""

_COVERED = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Predicted against measured milliseconds of held-out networks.

    Args:
        networks: How many were held out.
        mape: Mean of `|predicted - measured| / measured`.
        tau: Kendall's tau-b.
        worst: Largest `|predicted - measured| / measured`.
        margin: Smallest `m` such that 95 % of the networks took at most `predicted * (1 + m)`, of random and of chosen
            ones alike; the safety margin of a budget.
        chosen: How many further ones were held out that a search would return. A search looks for what the table
            underrates, so only these tell how far its answers are off. They count for the margin alone.
    """

    networks: int
    mape: float
    tau: float
    worst: float
    margin: float
    chosen: int = 0

    @property
    def warning(self) -> str | None:
        """What is wrong with the table, or None where it can be trusted."""
        if self.mape <= MOST_MAPE and self.tau >= LEAST_TAU:
            return None
        return (
            f"this table agrees too little with whole networks: MAPE {self.mape:.1%} (at most {MOST_MAPE:.0%}), tau "
            f"{self.tau:.2f} (at least {LEAST_TAU:.2f}). Measure again on an idle device, or measure more networks."
        )

    def __str__(self) -> str:
        also = f", also of {self.chosen} such as a search returns" if self.chosen else ""
        return (
            f"{self.networks} held-out networks: MAPE {self.mape:.2%}, tau {self.tau:.3f}, worst {self.worst:.1%}, "
            f"95 % take at most {self.margin:.1%} more than predicted{also}"
        )


def agreement(predicted: Floats, measured: Floats, chosen: tuple[Floats, Floats] | None = None) -> Agreement:
    """Compare predictions with measurements, in one unit.

    Args:
        predicted: `(A,)` for at least two random networks that were held out.
        measured: `(A,)`.
        chosen: The same two of held-out networks that a search would return.
    """
    errors = np.abs(predicted - measured) / measured
    pairs = [(predicted, measured)] + ([chosen] if chosen else [])
    over = max(float(np.quantile(took / said - 1.0, _COVERED, method="higher")) for said, took in pairs)
    tau = float(kendalltau(predicted, measured).statistic)
    return Agreement(
        networks=len(measured),
        mape=float(errors.mean()),
        tau=tau if np.isfinite(tau) else 0.0,
        worst=float(errors.max()),
        margin=max(0.0, over),
        chosen=len(chosen[0]) if chosen else 0,
    )
