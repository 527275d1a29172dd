"""From times of operators, and of some whole networks, to the time of every network.

A pass through a whole network is not the sum of passes through its parts: each of those pays for its own call, tensors
change their layout on the way, and an operator that is timed alone finds its weights in the cache, where a whole
network fetches them from memory. The model is therefore

    offset + scale * sum of parts + overhead * operators that do something + time per weight * weights,

fitted to whole networks: least squares of relative errors, with errors beyond 2 % counting by their size and not its
square, because a network that was disturbed while it was timed is no guide.

Legend: `A` networks, `L` blocks, `O_i` operators of block `i`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from archatlas.costs.agreement import agreement
from archatlas.costs.latency import (
    BLOCK,
    CHOSEN,
    FITTED,
    HEAD,
    HELD_OUT,
    LATENCY,
    STEM,
    Conditions,
    LatencyTable,
    Measured,
    networks_of,
)
from archatlas.costs.macs import count_costs
from archatlas.errors import DataError
from archatlas.records import Architectures, CostTable, Floats, as_array
from archatlas.spaces import ChainSpace

Summands = tuple[CostTable, CostTable, CostTable]
"""The sum of parts, the number of operators that do something, and millions of weights."""

FEWEST_FITTED, FEWEST_HELD_OUT = 5, 5
_FEWEST_FOR_WEIGHTS = 10
_USUAL_ERROR = 0.02


def table_of_parts(space: ChainSpace, conditions: Conditions, rows: Sequence[Measured], date: str) -> LatencyTable:
    """Return the table that is made of the times of parts and of whole networks.

    Without any whole network it is the plain sum, and says that nobody checked it.

    Raises:
        DataError: If an operator, the stem or the head is missing, a time cannot be, or networks are too few.
    """
    parts = sum_of_parts(space, rows)
    if not any(row.architecture for row in rows):
        return LatencyTable(
            conditions=conditions, date=date, cost=parts, agreement=None, model="sum of operators", rows=tuple(rows)
        )
    fitted, held_out = ([np.array(x) for x in networks_of(tuple(rows), part)] for part in (FITTED, HELD_OUT))
    if len(fitted[0]) < FEWEST_FITTED or len(held_out[0]) < FEWEST_HELD_OUT:
        raise DataError(
            f"Expected at least {FEWEST_FITTED} whole networks to correct the sum of the operators and "
            f"{FEWEST_HELD_OUT} to check it, got {len(fitted[0])} and {len(held_out[0])}."
        )
    summands = summands_of(space, parts)
    correction = fit_correction(summands, as_array(fitted[0]), fitted[1])
    cost = correction.applied(summands)
    chosen, took = networks_of(tuple(rows), CHOSEN)
    return LatencyTable(
        conditions=conditions,
        date=date,
        cost=cost,
        agreement=agreement(
            cost(as_array(held_out[0])), held_out[1], (cost(as_array(chosen)), np.array(took)) if chosen else None
        ),
        model=f"sum of operators; {correction}, fitted to {len(fitted[0])} whole networks",
        rows=tuple(rows),
    )


def sum_of_parts(space: ChainSpace, rows: Sequence[Measured]) -> CostTable:
    """Return the plain sum of measured parts; operators that do nothing take no time.

    Raises:
        DataError: Names what is missing.
    """
    times = {(row.part, row.block, row.operator): row.ms for row in rows}
    missing = [part for part in (STEM, HEAD) if (part, -1, "") not in times]
    entries = []
    for number, (block, idle) in enumerate(zip(space.blocks, space.no_ops(), strict=True)):
        entry = np.zeros(len(block.operators))
        for i, operator in enumerate(block.operators):
            if idle[i]:
                continue
            if (BLOCK, number, operator.name) not in times:
                missing.append(f"operator {operator.name} of block {number}")
            entry[i] = times.get((BLOCK, number, operator.name), np.nan)
        entries.append(entry)
    if missing:
        raise DataError(f"The latency table of {space.name} lacks {', '.join(missing)}; add rows for them.")
    return CostTable(name=LATENCY, fixed=times[STEM, -1, ""] + times[HEAD, -1, ""], entries=tuple(entries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """From the sum of parts to a whole network.

    Args:
        offset_ms: Of every network.
        scale: Of the sum of parts.
        overhead_ms: Of every operator that does something.
        ms_per_million: Of a million weights.
    """

    offset_ms: float
    scale: float
    overhead_ms: float
    ms_per_million: float

    def applied(self, summands: Summands) -> CostTable:
        """Return the corrected table, additive again."""
        weights = (self.scale, self.overhead_ms, self.ms_per_million)
        entries = tuple(
            np.asarray(sum(weight * entry for weight, entry in zip(weights, block, strict=True)))
            for block in zip(*(table.entries for table in summands), strict=True)
        )
        fixed = self.offset_ms + sum(weight * table.fixed for weight, table in zip(weights, summands, strict=True))
        return CostTable(name=LATENCY, fixed=fixed, entries=entries)

    def __str__(self) -> str:
        return (
            f"{self.scale:.4g} times their sum {self.offset_ms:+.4g} ms {self.overhead_ms:+.4g} ms per operator "
            f"{self.ms_per_million:+.4g} ms per million weights"
        )


def summands_of(space: ChainSpace, parts: CostTable) -> Summands:
    """Return the sum of parts, the number of operators that do something, and millions of weights."""
    busy = CostTable(name="operators", fixed=0.0, entries=tuple(1.0 - np.array(idle) for idle in space.no_ops()))
    params = count_costs(space)["params"]
    entries = tuple(entry / 1e6 for entry in params.entries)
    return parts, busy, CostTable(name="millions", fixed=params.fixed / 1e6, entries=entries)


def fit_correction(summands: Summands, architectures: Architectures, measured: Floats) -> Correction:
    """Fit the correction to whole networks `(A, L)` with milliseconds `(A,)`.

    Where all networks have as many operators that do something, the overhead counts to the offset. Fewer than ten
    networks do not tell what weights take.
    """
    total, busy, millions = (table(architectures) for table in summands)
    enough = len(measured) >= _FEWEST_FOR_WEIGHTS
    told = np.array([True, True, busy.min() < busy.max(), enough and millions.min() < millions.max()])
    columns = np.stack([np.ones(len(measured)), total, busy, millions], axis=1)
    weighted = columns[:, told] / measured[:, None]
    start = np.linalg.lstsq(weighted, np.ones(len(measured)), rcond=None)[0]
    weights = np.zeros(len(told))
    weights[told] = least_squares(
        lambda w: weighted @ w - 1.0, start, jac=lambda _: weighted, loss="soft_l1", f_scale=_USUAL_ERROR
    ).x
    offset, scale, overhead, per_million = map(float, weights)
    return Correction(offset_ms=offset, scale=scale, overhead_ms=overhead, ms_per_million=per_million)


def check_on_half(networks: Sequence[Measured], seed: int) -> list[Measured]:
    """Return whole networks with a random half of them held out."""
    order = np.random.default_rng(seed).permutation(len(networks)).tolist()
    return [replace(row, part=HELD_OUT if order[i] < len(networks) // 2 else FITTED) for i, row in enumerate(networks)]
