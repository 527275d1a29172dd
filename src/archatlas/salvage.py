"""Reading what is left of a damaged database of evaluations, page by page, without SQLite's help.

Rows are only ever added and each is far smaller than a page, so every row that stands in any page of the file or of
its write-ahead log is a true one, wherever the tree above it leads.

Reference: SQLite's "Database File Format", sections 1.6 (B-tree pages), 2.1 (records) and 4.1 (the log).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from archatlas.errors import InvalidArchitectureError
from archatlas.records import parse_architecture

Row = tuple[str, str, str, str, float, float, int, int]
"""Super-network, data, settings, architecture, loss, accuracy, images, times."""

_PAGE, _LOG_HEADER, _FRAME_HEADER = 4096, 32, 24
_CELLS_FROM = {0x02: 12, 0x0A: 8}  # inner and leaf pages of a table without row numbers; both hold rows
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


def salvaged_rows(path: Path) -> list[Row]:
    """Return every plausible row of a database and its log, ordered by key; none if there are none."""
    rows: dict[tuple[str, ...], Row] = {}
    for page in _pages(path):
        for row in _rows(page):
            held = rows.get(row[:4])
            if held is None or row[7] > held[7]:
                rows[row[:4]] = row
    return [rows[key] for key in sorted(rows)]


def _pages(path: Path) -> Iterator[bytes]:
    log = path.with_name(path.name + "-wal")
    content = path.read_bytes() if path.exists() else b""
    size = int.from_bytes(content[16:18], "big")
    size = 65536 if size == 1 else size if size >= 512 and size & (size - 1) == 0 else _PAGE
    for start in range(0, len(content), size):
        yield content[start : start + size]
    frames = log.read_bytes() if log.exists() else b""
    for start in range(_LOG_HEADER, len(frames), _FRAME_HEADER + size):
        yield frames[start + _FRAME_HEADER : start + _FRAME_HEADER + size]


def _rows(page: bytes) -> Iterator[Row]:
    """Yield the plausible rows of one page."""
    first = _CELLS_FROM.get(page[0]) if page else None
    if first is None:
        return
    count = int.from_bytes(page[3:5], "big")
    for place in range(first, min(first + 2 * count, len(page) - 1), 2):
        cell = int.from_bytes(page[place : place + 2], "big") + (4 if page[0] == 0x02 else 0)
        try:
            row = _as_row(_record(page, cell))
        except (IndexError, struct.error, UnicodeDecodeError, InvalidArchitectureError):
            continue
        if row is not None:
            yield row


def _record(page: bytes, cell: int) -> list[Any]:
    """Return the values of the record in a cell."""
    _, start = _varint(page, cell)
    header, place = _varint(page, start)
    kinds = []
    while place < start + header:
        kind, place = _varint(page, place)
        kinds.append(kind)
    values = []
    for kind in kinds:
        value, place = _value(page, place, kind)
        values.append(value)
    return values


def _varint(page: bytes, place: int) -> tuple[int, int]:
    """Return a big-endian number of seven bits per byte, and the place behind it."""
    number = 0
    for place in range(place, place + 9):  # noqa: B020
        number = number << 7 | page[place] & 0x7F
        if page[place] < 0x80:
            break
    return number, place + 1


def _value(page: bytes, place: int, kind: int) -> tuple[Any, int]:
    """Return one value of a record, and the place behind it; None for kinds that no column has."""
    if kind in _INTEGER_BYTES:
        end = place + _INTEGER_BYTES[kind]
        return int.from_bytes(page[place:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack_from(">d", page, place)[0], place + 8
    if kind in (8, 9):
        return kind - 8, place
    if kind >= 13 and kind % 2 == 1:
        end = place + (kind - 13) // 2
        if end > len(page):
            raise IndexError
        return page[place:end].decode(), end
    return None, place


def _as_row(values: list[Any]) -> Row | None:
    """Return the values as a row if they can be one."""
    if len(values) != 8 or not all(isinstance(value, str) for value in values[:4]):
        return None
    loss, accuracy, images, times = values[4:]
    if not isinstance(loss, int | float) or not isinstance(accuracy, int | float) or not math.isfinite(loss):
        return None
    if not (0 <= accuracy <= 1 and isinstance(images, int) and images > 0 and isinstance(times, int) and times > 0):
        return None
    parse_architecture(values[3])
    supernet, data, settings, architecture = values[:4]
    return supernet, data, settings, architecture, float(loss), float(accuracy), images, times
