"""Evaluations in SQLite: each is on disk as soon as it is made, and none is made twice."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from archatlas.errors import ArtifactMismatchError, StorageError
from archatlas.files import atomic_path, writing
from archatlas.records import Architecture, Evaluation, format_architecture, parse_architecture
from archatlas.salvage import salvaged_rows

FORMAT = 1

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


def _unheard(line: str) -> None:  # noqa: ARG001
    """Drop a line."""


class EvaluationStore:
    """The table of one run directory, in write-ahead mode: a killed process loses no finished evaluation.

    A damaged file is set aside when it is opened, and every row that can still be read goes into a new one.

    Args:
        path: The database file; made if missing.
        log: Told what was saved of a damaged file.

    Raises:
        ArtifactMismatchError: If a later version wrote the file.
        StorageError: If the disk is full or refuses to write.
    """

    def __init__(self, path: Path, log: Callable[[str], None] = _unheard) -> None:
        self.path, self._log = path, log
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._prepare()
        except _DamagedError as error:
            self._rebuild(error.why)

    def _prepare(self) -> None:
        """Make the table, or check the one that is there."""
        with self._connect() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > FORMAT:
                raise ArtifactMismatchError(
                    f"{self.path} has format {version}; this version of archatlas reads formats up to {FORMAT}. Use "
                    "the version that wrote it."
                )
            found = [text for (text,) in connection.execute("PRAGMA quick_check(1)")]
            if found != ["ok"]:
                raise _DamagedError("; ".join(found).replace("\n", " "))
            connection.execute(_SCHEMA)
            if version < FORMAT:
                connection.execute(f"PRAGMA user_version = {FORMAT}")

    def _rebuild(self, why: str) -> None:
        """Keep the damaged file beside a new one, which holds every row that can still be read."""
        rows = salvaged_rows(self.path)
        aside = self.path.with_name(f"{self.path.stem}.damaged-{os.urandom(3).hex()}{self.path.suffix}")
        with atomic_path(self.path) as temporary:
            with closing(sqlite3.connect(temporary)) as connection, connection:
                connection.execute(_SCHEMA)
                connection.executemany("INSERT INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            for ending in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{self.path}{ending}", f"{aside}{ending}")
            for ending in ("-wal", "-shm"):  # else SQLite would apply the old log to the new file
                self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        self._prepare()
        self._log(
            f"{self.path} was damaged ({why[:200]}): {len(rows):,} evaluations could be read and are kept, what is "
            f"missing will be evaluated again. The damaged file is now {aside}"
        )

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = None
        try:
            connection = sqlite3.connect(self.path, timeout=60.0)
            connection.execute("PRAGMA synchronous = NORMAL")
            with connection:
                yield connection
        except sqlite3.OperationalError as error:
            raise StorageError(
                f"{self.path} cannot be used: {error}. Everything finished before is safe; mend that, then run the "
                "same command again to continue."
            ) from error
        except sqlite3.DatabaseError as error:
            raise _DamagedError(str(error)) from error
        finally:
            if connection is not None:
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


class _DamagedError(ArtifactMismatchError):
    """The file is no sound database; opening it again mends it."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"the evaluations are damaged ({why}); the same command mends them and continues.")
