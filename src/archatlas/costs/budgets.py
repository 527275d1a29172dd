"""Latency in a run: the setting that names the table, the record of which one was used, budgets with its margin."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from archatlas.costs.latency import LATENCY, LatencyTable, load_latency
from archatlas.errors import ArtifactMismatchError
from archatlas.files import read_json, write_json
from archatlas.records import Budget
from archatlas.spaces import ChainSpace

RECORD = "latency.json"


class LatencyConfig(BaseModel):
    """What networks take on the device of interest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: Path | None = Field(
        default=None, description="made by `archatlas latency measure` or `import`; gives the cost latency_ms"
    )
    margin: float = Field(
        default=1.0,
        ge=0,
        description="budgets keep this many times the table's margin free (95 % of networks take at most that more)",
    )

    def load(self, space: ChainSpace) -> LatencyTable | None:
        """Return the table, None where none is named.

        Raises:
            ArtifactMismatchError: If it is missing, damaged, or of another space or resolution.
        """
        if self.table is None:
            return None
        table = load_latency(self.table)
        table.check(space)
        return table

    def tightened(self, budgets: Sequence[Budget], table: LatencyTable | None) -> tuple[Budget, ...]:
        """Return budgets that hold when the network is measured again: latency is cut by the table's margin."""
        if table is None:
            return tuple(budgets)
        cut = 1.0 + self.margin * table.margin
        return tuple(dataclasses.replace(b, upper=b.upper / cut) if b.cost == LATENCY else b for b in budgets)


def record_table(directory: Path, table: LatencyTable) -> None:
    """Write which table a run uses; refuse one of other conditions than the run used before.

    Raises:
        ArtifactMismatchError: Says what differs.
    """
    path, facts = directory / RECORD, table.facts
    before = read_json(path) if path.exists() else facts
    differ = [
        f"{name} {before.get(name)!r}, not {value!r}"
        for name, value in dataclasses.asdict(table.conditions).items()
        if before.get(name) != value
    ]
    if differ:
        raise ArtifactMismatchError(
            f"{directory} was searched for {'; '.join(differ)}. Times of different devices or resolutions are not "
            f"mixed: use another run directory (a copy of this one without {RECORD} keeps its scores)."
        )
    write_json(path, facts)
