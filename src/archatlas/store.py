"""Evaluations in SQLite: each is on disk as soon as it is made, and none is made twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from archatlas.errors import ArtifactMismatchError
from archatlas.records import Architecture, Evaluation, format_architecture, parse_architecture

_SCHEMA = """
CREATE TABLE IF NOT EXISTS evaluations (
    supernet TEXT NOT NULL, data TEXT NOT NULL, settings TEXT NOT NULL, architecture TEXT NOT NULL,
    loss REAL NOT NULL, accuracy REAL NOT NULL, num_images INTEGER NOT NULL, times INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (supernet, data, settings, architecture)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What scores must share to be comparable.

    Args:
        supernet: Digest of the super-network's weights.
        data: Digest of the data set and its splits.
        settings: Digest of the evaluation settings that change a score.
    """

    supernet: str
    data: str
    settings: str


class EvaluationStore:
    """The table of one run directory, in write-ahead mode: a killed process loses no finished evaluation.

    Args:
        path: The database file; made if missing.

    Raises:
        ArtifactMismatchError: If the file is no sound database.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connect() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_SCHEMA)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=60.0)
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            with connection:
                yield connection
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise ArtifactMismatchError(
                f"{self.path} is damaged ({error}). Move it away; the same command then evaluates again."
            ) from error
        finally:
            connection.close()

    def add(self, scope: Scope, evaluation: Evaluation) -> None:
        """Store one evaluation; one that is there already keeps its values and is counted once more."""
        row = (
            *(scope.supernet, scope.data, scope.settings, format_architecture(evaluation.architecture)),
            *(evaluation.loss, evaluation.accuracy, evaluation.num_images),
        )
        with self._connect() as connection:
            connection.execute(
                "INSERT INTO evaluations (supernet, data, settings, architecture, loss, accuracy, num_images) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET times = times + 1",
                row,
            )

    def all(self, scope: Scope) -> dict[Architecture, Evaluation]:
        """Return every evaluation of a scope, ordered by architecture text."""
        with self._connect() as connection:
            rows = connection.execute(
                "SELECT architecture, loss, accuracy, num_images FROM evaluations "
                "WHERE supernet = ? AND data = ? AND settings = ? ORDER BY architecture",
                (scope.supernet, scope.data, scope.settings),
            ).fetchall()
        evaluations = (
            Evaluation(architecture=parse_architecture(text), loss=loss, accuracy=accuracy, num_images=num_images)
            for text, loss, accuracy, num_images in rows
        )
        return {evaluation.architecture: evaluation for evaluation in evaluations}

    def repeated(self) -> int:
        """Return how many evaluations were made more than once; 0 unless something was lost."""
        with self._connect() as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM evaluations WHERE times > 1").fetchone()
        return int(count)
