"""Every network of a space as one Parquet file: a row each, written in chunks of bounded memory.

Columns: `number` (of the architecture in its space), `architecture` (text), the score columns, then each cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from archatlas.errors import ConfigError
from archatlas.files import atomic_path
from archatlas.records import Architectures, Floats, as_array, format_architecture
from archatlas.spaces import SpaceGraph

NETWORKS = "networks.parquet"
MOST_ARCHITECTURES = 20_000_000
"""Larger spaces are not enumerated."""

_CHUNK = 1 << 14

Describe = Callable[[Architectures], dict[str, Floats]]
"""`(A, L)` -> columns `(A,)` by name."""


def is_enumerable(graph: SpaceGraph) -> bool:
    """Tell whether a space is small enough for a table of all its networks."""
    return math.prod(graph.num_choices) <= MOST_ARCHITECTURES


def is_whole(path: Path) -> bool:
    """Tell whether a table is there to its last byte, where Parquet keeps its description."""
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def numbers_to_architectures(graph: SpaceGraph, numbers: np.ndarray) -> Architectures:
    """Return architectures `(A, L)` from their numbers `(A,)`, block 0 most significant."""
    return as_array(np.stack(np.unravel_index(numbers, graph.num_choices), axis=1))


def write_networks(path: Path, graph: SpaceGraph, describe: Describe) -> int:
    """Write every distinct network with the columns of `describe`; return how many there are.

    Raises:
        ConfigError: If the space is too large.
    """
    if not is_enumerable(graph):
        raise ConfigError(
            f"{graph.name} has {math.prod(graph.num_choices):,} architectures; at most {MOST_ARCHITECTURES:,} are "
            "enumerated. Use a predictor of window terms (window_gcn, ridge): its atlas answers at any size."
        )
    rows = 0
    with atomic_path(path) as temporary:
        writer = None
        for numbers, architectures in enumerate_networks(graph):
            columns = {"number": numbers, "architecture": _texts(architectures), **describe(architectures)}
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(temporary, table.schema)
            writer.write_table(table)
            rows += len(numbers)
        if writer is not None:
            writer.close()
    return rows


def enumerate_networks(graph: SpaceGraph) -> Iterator[tuple[np.ndarray, Architectures]]:
    """Yield the numbers and architectures of all canonical networks, in order."""
    everything = math.prod(graph.num_choices)
    for start in range(0, everything, _CHUNK):
        numbers = np.arange(start, min(start + _CHUNK, everything))
        architectures = numbers_to_architectures(graph, numbers)
        canonical = (graph.canonical(architectures) == architectures).all(axis=1)
        if canonical.any():
            yield numbers[canonical], architectures[canonical]


def _texts(architectures: Architectures) -> pa.Array:
    """Return architectures as text, as `format_architecture` writes them."""
    if architectures.max(initial=0) >= 10:
        return pa.array([format_architecture(tuple(map(int, row))) for row in architectures])
    digits = np.ascontiguousarray(architectures + ord("0")).view(f"S{architectures.shape[1]}").ravel()
    return pa.array(digits.astype(str))
