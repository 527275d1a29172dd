"""A user's own table of scores: CSV with the columns `architecture` and `score`.

Only ranks are used, so accuracies in 0-1 and in 0-100 are the same table. Scores are higher better.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from archatlas.errors import DataError, InvalidArchitectureError
from archatlas.records import Architecture, Architectures, Floats, as_array, format_architecture, parse_architecture

COLUMNS = ("architecture", "score")


def read_scores(path: Path, validate: Callable[[Architecture], None]) -> tuple[Architectures, Floats]:
    """Read and check a table of scores.

    Args:
        path: CSV with a header that holds `architecture` and `score`; further columns are ignored.
        validate: Raises `InvalidArchitectureError` for an architecture that the space does not hold.

    Returns:
        Architectures `(A, L)` and scores `(A,)`, in the order of the file.

    Raises:
        DataError: Names the line of a missing column, an illegal or repeated architecture, or a score that is no
            finite number; also if there are fewer than two rows or all scores are equal.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_header(path, reader.fieldnames or ())
            rows = [(reader.line_num, row["architecture"], row["score"]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Expected a CSV table of scores at {path}: {error}") from error
    seen: dict[Architecture, int] = {}
    scores = []
    for line, text, score in rows:
        architecture = _architecture(path, line, text, validate)
        if architecture in seen:
            name = format_architecture(architecture)
            raise DataError(
                f"{path}, line {line}: {name} was already scored in line {seen[architecture]}. Keep one row of it."
            )
        seen[architecture] = line
        scores.append(_score(path, line, score))
    return _checked(path, list(seen), np.array(scores))


def _checked(path: Path, architectures: list[Architecture], scores: Floats) -> tuple[Architectures, Floats]:
    if len(scores) < 2:
        raise DataError(f"{path}: expected at least two scored architectures, got {len(scores)}.")
    if scores.min() == scores.max():
        raise DataError(f"{path}: all {len(scores)} scores equal {scores[0]:g}, so there is nothing to rank.")
    return as_array(architectures), scores


def _check_header(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DataError(
            f"{path}, line 1: expected a header with the columns {', '.join(COLUMNS)}; "
            f"{', '.join(missing)} is missing among {', '.join(names) or 'nothing'}."
        )


def _architecture(path: Path, line: int, text: str | None, validate: Callable[[Architecture], None]) -> Architecture:
    try:
        architecture = parse_architecture(text or "")
        validate(architecture)
    except InvalidArchitectureError as error:
        raise DataError(f"{path}, line {line}: {error}") from error
    return architecture


def _score(path: Path, line: int, text: str | None) -> float:
    try:
        score = float(text or "")
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"{path}, line {line}: expected a finite score, got {text!r}. Mend or drop the row.")
    return score
