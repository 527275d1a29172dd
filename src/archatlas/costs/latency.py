"""The latency of every network of a space on one device, and how far it can be trusted.

A table holds what was measured (operators at their input shapes, whole networks, or both), the model that was made of
it, and how that model agrees with whole networks that it never saw. It knows its device, runtime, threads, batch,
resolution and space, and is never mixed with another.

On disk a table is one Parquet file: a row per measurement, the rest as JSON in the file's metadata.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archatlas.costs.agreement import Agreement
from archatlas.errors import ArtifactMismatchError, DataError
from archatlas.files import atomic_path
from archatlas.records import (
    Architecture,
    Cost,
    CostTable,
    WindowCost,
    WindowTerms,
    parse_architecture,
)
from archatlas.spaces import ChainSpace

LATENCY = "latency_ms"
FORMAT = 1
_KEY = b"archatlas.latency"
STEM, HEAD, BLOCK = "stem", "head", "block"
FITTED, HELD_OUT, CHOSEN = "fitted network", "held-out network", "chosen network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under which conditions times were measured; times of different conditions are never mixed.

    Args:
        device: Name of the hardware.
        runtime: Name and version of the software.
        threads: CPU threads of one pass; 0 where that is not known or makes no sense.
        batch: Images in a pass.
        resolution: Height and width of the images, in pixels.
        space: Name of the space.
        digest: Of the space and its task.
    """

    device: str
    runtime: str
    threads: int
    batch: int
    resolution: int
    space: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measured time.

    Args:
        part: `stem`, `head`, `block`, `fitted network`, or of those that check the model `held-out network` (random) or
            `chosen network` (such as a search would return).
        block: Number of the block, or -1.
        operator: Name of the operator, or empty.
        architecture: Of a network, as text, or empty.
        ms: Median of the samples.
        lower_ms: First quartile.
        upper_ms: Third quartile.
        count: Number of samples.
    """

    part: str
    block: int = -1
    operator: str = ""
    architecture: str = ""
    ms: float
    lower_ms: float
    upper_ms: float
    count: int

    def __post_init__(self) -> None:
        check_time(self.ms, self.named)

    @property
    def named(self) -> str:
        """What was measured, for people."""
        place = f"operator {self.operator} of block {self.block}" if self.part == BLOCK else self.part
        return f"{place} {self.architecture}".strip()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LatencyTable:
    """A latency table.

    Args:
        conditions: Device, runtime, batch, space.
        date: When it was made, ISO 8601.
        cost: Milliseconds of every network.
        agreement: With whole networks that the cost was not fitted to; None where there were none to compare with.
        model: How the cost was made of the measurements, one sentence.
        rows: Every measurement.
    """

    conditions: Conditions
    date: str
    cost: Cost
    agreement: Agreement | None
    model: str
    rows: tuple[Measured, ...]

    def __post_init__(self) -> None:
        finite = all(np.isfinite(term).all() for term in self.cost.terms.terms)
        if not finite or not math.isfinite(self.cost.terms.offset):
            raise DataError("Expected finite entries in the model of the latency table; measure it again.")

    @property
    def warning(self) -> str | None:
        """Why the table cannot be trusted, or None where it can."""
        if self.agreement is None:
            return "this table was not compared with whole networks: nobody knows how far it is off"
        return self.agreement.warning

    @property
    def margin(self) -> float:
        """The safety margin of a budget as a share of it: 95 % of networks, also of chosen ones, take no more."""
        return self.agreement.margin if self.agreement else 0.0

    @property
    def digest_parts(self) -> tuple[Any, ...]:
        """What results depend on, for a fingerprint: the model in numbers."""
        terms = self.cost.terms
        return (terms.radius, terms.offset, [term.tolist() for term in terms.terms])

    @property
    def facts(self) -> dict[str, Any]:
        """What a run records of the table that it used."""
        agreement = dataclasses.asdict(self.agreement) if self.agreement else None
        return {"date": self.date, **dataclasses.asdict(self.conditions), "model": self.model, "held_out": agreement}

    def check(self, space: ChainSpace) -> None:
        """Refuse a table of another space or resolution.

        Raises:
            ArtifactMismatchError: Says what differs.
        """
        have = self.conditions
        if (have.space, have.resolution) != (space.name, space.resolution):
            raise ArtifactMismatchError(
                f"The latency table is of {have.space} at {have.resolution}x{have.resolution}; expected {space.name} "
                f"at {space.resolution}x{space.resolution}. Measure that: archatlas latency measure --space "
                f"{space.name} --resolution {space.resolution}"
            )
        if have.digest != space.digest:
            raise ArtifactMismatchError(
                f"The latency table is of {have.space} with other blocks, operators, channels or classes (digest "
                f"{have.digest}, expected {space.digest}: {space.in_channels} channels, {space.num_classes} classes). "
                "Measure it again: archatlas latency measure"
            )

    def save(self, path: Path) -> None:
        """Write the table as one Parquet file."""
        header = {
            "format": FORMAT,
            **self.facts,
            "cost": {
                "radius": self.cost.terms.radius,
                "offset": self.cost.terms.offset,
                "terms": [term.tolist() for term in self.cost.terms.terms],
            },
        }
        table = pa.Table.from_pylist([dataclasses.asdict(row) for row in self.rows], schema=_SCHEMA)
        with atomic_path(path) as temporary:
            pq.write_table(table.replace_schema_metadata({_KEY: json.dumps(header)}), temporary)


_SCHEMA = pa.schema(
    [
        ("part", pa.string()),
        ("block", pa.int32()),
        ("operator", pa.string()),
        ("architecture", pa.string()),
        ("ms", pa.float64()),
        ("lower_ms", pa.float64()),
        ("upper_ms", pa.float64()),
        ("count", pa.int64()),
    ]
)


def load_latency(path: Path) -> LatencyTable:
    """Read what `LatencyTable.save` wrote.

    Raises:
        ArtifactMismatchError: If it is missing, damaged, or of another format version.
        DataError: If a time is no positive number.
    """
    try:
        table = pq.read_table(path)
        header = json.loads((table.schema.metadata or {})[_KEY])
        if header["format"] != FORMAT:
            raise ArtifactMismatchError(
                f"{path} has format version {header['format']!r}; this archatlas reads version {FORMAT}. Measure again."
            )
        conditions = Conditions(**{field.name: header[field.name] for field in dataclasses.fields(Conditions)})
        return LatencyTable(
            conditions=conditions,
            date=header["date"],
            cost=_cost(header["cost"]),
            agreement=Agreement(**header["held_out"]) if header["held_out"] else None,
            model=header["model"],
            rows=tuple(Measured(**row) for row in table.to_pylist()),
        )
    except FileNotFoundError:
        raise ArtifactMismatchError(
            f"The latency table {path} does not exist; make it with: archatlas latency measure"
        ) from None
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise ArtifactMismatchError(
            f"{path} is no latency table of archatlas or is damaged ({error}); make one with: archatlas latency "
            "measure, or read a CSV with: archatlas latency import"
        ) from None


def _cost(described: dict[str, Any]) -> Cost:
    terms = WindowTerms(
        radius=int(described["radius"]),
        offset=float(described["offset"]),
        terms=tuple(np.array(term, dtype=float) for term in described["terms"]),
    )
    return latency_cost(terms)


def latency_cost(terms: WindowTerms) -> Cost:
    """Return milliseconds as a sum over windows as a cost."""
    if terms.radius == 0:
        return CostTable(name=LATENCY, fixed=terms.offset, entries=terms.terms)
    return WindowCost(name=LATENCY, terms=terms)


def check_time(ms: float, what: str) -> float:
    """Refuse a time that cannot be.

    Raises:
        DataError: Names what was measured.
    """
    if not (math.isfinite(ms) and ms >= 0):
        raise DataError(f"Expected milliseconds, a finite number that is not negative, for {what}; got {ms!r}.")
    return ms


def networks_of(rows: tuple[Measured, ...], part: str) -> tuple[list[Architecture], list[float]]:
    """Return the architectures and milliseconds of the whole networks of one part."""
    chosen = [row for row in rows if row.part == part]
    return [parse_architecture(row.architecture) for row in chosen], [row.ms for row in chosen]
