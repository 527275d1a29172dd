"""A latency table from whole networks alone, for devices where nobody timed the parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from archatlas.costs.agreement import agreement
from archatlas.costs.latency import (
    FITTED,
    HELD_OUT,
    Conditions,
    LatencyTable,
    Measured,
    latency_cost,
)
from archatlas.errors import DataError
from archatlas.records import Architectures, Floats, WindowTerms, as_array, parse_architecture
from archatlas.spaces import ChainSpace

Learn = Callable[[Architectures, Floats], WindowTerms]
"""Fits milliseconds `(A,)` of networks `(A, L)`."""

FEWEST_NETWORKS = 20
_HELD_OUT_SHARE = 0.2


def table_of_networks(
    space: ChainSpace, learn: Learn, conditions: Conditions, rows: Sequence[Measured], date: str, *, seed: int
) -> LatencyTable:
    """Return the table that is learnt from whole networks.

    A fifth of them is held out, chosen at random, to say how far the table can be trusted.

    Args:
        space: The space.
        learn: The model.
        conditions: Device, runtime, batch, space.
        rows: Whole networks; which of them are held out is decided here.
        date: ISO 8601.
        seed: Of that choice.

    Raises:
        DataError: If there are too few.
    """
    if len(rows) < FEWEST_NETWORKS:
        raise DataError(f"Expected at least {FEWEST_NETWORKS} whole networks to learn latency from, got {len(rows)}.")
    architectures = space.canonical(as_array([parse_architecture(row.architecture) for row in rows]))
    measured = np.array([row.ms for row in rows])
    order = np.random.default_rng(seed).permutation(len(rows))
    count = max(5, round(_HELD_OUT_SHARE * len(rows)))
    held_out, fitted = order[:count], order[count:]
    cost = latency_cost(learn(architectures[fitted], measured[fitted]))
    parts = dict.fromkeys(held_out.tolist(), HELD_OUT) | dict.fromkeys(fitted.tolist(), FITTED)
    return LatencyTable(
        conditions=conditions,
        date=date,
        cost=cost,
        agreement=agreement(cost(architectures[held_out]), measured[held_out]),
        model=f"learnt from {len(fitted)} whole networks",
        rows=tuple(replace(row, part=parts[i]) for i, row in enumerate(rows)),
    )
