"""Latency tables that others measured: CSV from phones and boards.

Two forms. Of parts: the columns `block` (a number, `stem` or `head`), `operator` (name or number) and `latency_ms`. Of
whole networks: `architecture` and `latency_ms`. Columns named like conditions (`device`, `resolution`, ...) must say
what the caller says, on every line.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

from archatlas.costs.latency import BLOCK, FITTED, HEAD, LATENCY, STEM, Conditions, Measured
from archatlas.errors import ArtifactMismatchError, DataError, InvalidArchitectureError
from archatlas.records import format_architecture, parse_architecture
from archatlas.spaces import ChainSpace

PARTS = ("block", "operator", LATENCY)
NETWORKS = ("architecture", LATENCY)
Row = tuple[int, dict[str, str]]
"""A line number and its cells."""


def read_measurements(path: Path, space: ChainSpace, conditions: Conditions) -> tuple[Measured, ...]:
    """Read a CSV of parts or of whole networks.

    Args:
        path: The file.
        space: Names and checks operators and architectures.
        conditions: What the caller says of the measurement.

    Returns:
        A row per line. Whole networks count as fitted ones.

    Raises:
        DataError: Names the line and the value that cannot be used, or what is missing.
        ArtifactMismatchError: If a line was measured under other conditions.
    """
    names, rows = _lines(path)
    if set(NETWORKS) <= set(names):
        read = _network
    elif set(PARTS) <= set(names):
        read = _part
    else:
        raise DataError(
            f"{path}, line 1: expected the columns {', '.join(PARTS)} (a table of operators) or {', '.join(NETWORKS)} "
            f"(whole networks), got {', '.join(names) or 'nothing'}."
        )
    seen: dict[tuple[object, ...], int] = {}
    measured = []
    for line, cells in rows:
        _check_conditions(path, line, cells, conditions)
        row = read(path, line, cells, space)
        key = (row.part, row.block, row.operator, row.architecture)
        if key in seen:
            raise DataError(f"{path}, line {line}: {row.named} stands in line {seen[key]} already. Keep one of them.")
        seen[key] = line
        measured.append(row)
    return tuple(measured)


def _lines(path: Path) -> tuple[list[str], list[Row]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows = [(reader.line_num, {str(k): str(v) for k, v in row.items()}) for row in reader]
            return list(reader.fieldnames or ()), rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Expected a CSV table of latencies at {path}: {error}") from error


def _check_conditions(path: Path, line: int, cells: dict[str, str], conditions: Conditions) -> None:
    for name, expected in dataclasses.asdict(conditions).items():
        if name in cells and cells[name].strip() != str(expected):
            raise ArtifactMismatchError(
                f"{path}, line {line}: {name} {cells[name]!r}, expected {str(expected)!r}. A table holds one device at "
                "one resolution; split the file, or say what it holds."
            )


def _network(path: Path, line: int, cells: dict[str, str], space: ChainSpace) -> Measured:
    try:
        architecture = parse_architecture(cells["architecture"])
        space.validate(architecture)
    except InvalidArchitectureError as error:
        raise DataError(f"{path}, line {line}: {error}") from error
    text = format_architecture(architecture)
    return _measured(path, line, cells, part=FITTED, architecture=text)


def _part(path: Path, line: int, cells: dict[str, str], space: ChainSpace) -> Measured:
    block, operator = cells["block"].strip(), cells["operator"].strip()
    if block in {STEM, HEAD}:
        return _measured(path, line, cells, part=block)
    if not (block.isascii() and block.isdigit() and int(block) < len(space.blocks)):
        raise DataError(
            f"{path}, line {line}: expected block 0 to {len(space.blocks) - 1}, stem or head, got {block!r}."
        )
    names = [o.name for o in space.blocks[int(block)].operators]
    by_number = operator.isascii() and operator.isdigit() and int(operator) < len(names)
    name = names[int(operator)] if by_number else operator
    if name not in names:
        numbered = ", ".join(f"{i} = {name}" for i, name in enumerate(names))
        raise DataError(f"{path}, line {line}: block {block} of {space.name} takes {numbered}; got {operator!r}.")
    return _measured(path, line, cells, part=BLOCK, block=int(block), operator=name)


def _measured(path: Path, line: int, cells: dict[str, str], **what: Any) -> Measured:
    try:
        ms = float(cells[LATENCY])
        return Measured(**what, ms=ms, lower_ms=ms, upper_ms=ms, count=1)
    except ValueError:
        raise DataError(f"{path}, line {line}: expected milliseconds, got {cells[LATENCY]!r}.") from None
    except DataError as error:
        raise DataError(f"{path}, line {line}: {error}") from None
