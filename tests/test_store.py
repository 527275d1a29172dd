from __future__ import annotations

import multiprocessing
import resource
import signal
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from archatlas.errors import ArtifactMismatchError, StorageError
from archatlas.records import Evaluation
from archatlas.store import EvaluationStore, Scope

SCOPE = Scope(supernet="s", data="d", settings="c")


def evaluation(*architecture: int, loss: float = 1.25) -> Evaluation:
    return Evaluation(architecture=architecture, loss=loss, accuracy=0.1 + 0.2, num_images=7)


def test_evaluations_are_read_back_exactly_and_sorted(tmp_path):
    store = EvaluationStore(tmp_path / "run" / "evaluations.sqlite")
    assert store.all(SCOPE) == {}
    rows = [evaluation(2, 10, 0), evaluation(0, 1, 2), evaluation(1, 0, 0)]
    for row in rows:
        store.add(SCOPE, row)
    again = EvaluationStore(store.path).all(SCOPE)
    assert list(again) == [(0, 1, 2), (1, 0, 0), (2, 10, 0)]
    assert sorted(again.values(), key=str) == sorted(rows, key=str)


def test_scopes_do_not_mix(tmp_path):
    store = EvaluationStore(tmp_path / "evaluations.sqlite")
    store.add(SCOPE, evaluation(1))
    others = [{"supernet": "x"}, {"data": "x"}, {"settings": "x"}]
    for other in others:
        scope = Scope(**({"supernet": "s", "data": "d", "settings": "c"} | other))
        assert store.all(scope) == {}
        store.add(scope, evaluation(1))
    assert store.repeated() == 0


def test_the_first_value_stays_and_repeats_are_counted(tmp_path):
    store = EvaluationStore(tmp_path / "evaluations.sqlite")
    store.add(SCOPE, evaluation(1, 2))
    assert store.repeated() == 0
    store.add(SCOPE, evaluation(1, 2, loss=9.0))
    assert store.repeated() == 1
    assert store.all(SCOPE)[1, 2].loss == 1.25


def _add_and_die(path) -> None:
    store = EvaluationStore(path)
    for i in range(5):
        store.add(SCOPE, evaluation(i))
    signal.raise_signal(signal.SIGKILL)


def test_a_killed_process_loses_nothing(tmp_path):
    path = tmp_path / "evaluations.sqlite"
    process = multiprocessing.get_context("spawn").Process(target=_add_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(EvaluationStore(path).all(SCOPE)) == 5


def filled(path) -> dict:
    """Fill a store with 600 evaluations, several pages of them, in an order that is not that of the keys."""
    store = EvaluationStore(path)
    rows = [(i * 271 % 729, i) for i in range(600)]
    values = [
        (*("s", "d", "c"), "".join(map(str, np.unravel_index(n, (3,) * 6))), 1 + i / 7, (i % 11) / 10, 9)
        for n, i in rows
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?, 1)", values)
    return store.all(SCOPE)


DAMAGES = {
    "cut short": (lambda content: content[: len(content) * 2 // 3], 300),
    "two pages": (lambda content: content[: 3 * 4096] + b"Z" * 8192 + content[5 * 4096 :], 350),
    "no header": (lambda content: bytes(4096) + content[4096:], 600),
    "all zeros": (lambda content: bytes(len(content)), 0),
    "another file": (lambda content: b"this is no database, whatever its name says" * 100, 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_rebuilt_from_what_is_whole(tmp_path, damage):
    path, lines = tmp_path / "evaluations.sqlite", []
    before = filled(path)
    content = path.read_bytes()
    spoil, at_least = DAMAGES[damage]
    path.write_bytes(spoil(content))
    after = EvaluationStore(path, lines.append).all(SCOPE)
    assert len(after) >= at_least
    assert all(before[architecture] == evaluation for architecture, evaluation in after.items())
    assert f"{len(after)} evaluations could be read and are kept" in lines[0]
    aside = next(tmp_path.glob("evaluations.damaged-*.sqlite"))
    assert aside.read_bytes() == spoil(content)
    EvaluationStore(path, lines.append)
    assert len(lines) == 1  # mended for good


def test_rows_that_only_the_log_holds_are_kept(tmp_path):
    path = tmp_path / "evaluations.sqlite"
    with closing(sqlite3.connect(path)) as holder:  # while one connection is open, the log stays
        store = EvaluationStore(path)
        holder.execute("SELECT 1 FROM evaluations").fetchall()
        for i in range(5):
            store.add(SCOPE, evaluation(i))
        log = path.with_name(path.name + "-wal").read_bytes()
        copy = tmp_path / "copy" / path.name
        copy.parent.mkdir()
        copy.write_bytes(b"no database")
        copy.with_name(copy.name + "-wal").write_bytes(log)
    assert list(EvaluationStore(copy).all(SCOPE).values()) == [evaluation(i) for i in range(5)]


def test_a_file_of_a_later_version_is_refused_and_an_earlier_one_is_read(tmp_path):
    path = tmp_path / "evaluations.sqlite"
    EvaluationStore(path).add(SCOPE, evaluation(1))
    for version, refused in ((0, False), (2, True)):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"PRAGMA user_version = {version}")
        if refused:
            with pytest.raises(ArtifactMismatchError, match="has format 2; .* reads formats up to 1"):
                EvaluationStore(path)
        else:
            assert list(EvaluationStore(path).all(SCOPE)) == [(1,)]


def test_a_full_disk_is_named_and_loses_nothing(tmp_path):
    store = EvaluationStore(tmp_path / "evaluations.sqlite")
    store.add(SCOPE, evaluation(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match=r"evaluations\.sqlite cannot be used: .*continue"):
            for i in range(2, 9):
                store.add(SCOPE, evaluation(i))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store.add(SCOPE, evaluation(0))
    assert {(0,), (1,)} <= set(store.all(SCOPE))


def test_damage_inside_is_found_when_it_is_read(tmp_path):
    store = EvaluationStore(tmp_path / "evaluations.sqlite")
    store.add(SCOPE, evaluation(1, 2))
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    content = bytearray(store.path.read_bytes())
    content[4096 : 2 * 4096] = b"\x5a" * 4096
    store.path.write_bytes(bytes(content))
    with pytest.raises(ArtifactMismatchError, match="are damaged .* the same command mends them"):
        store.all(SCOPE)
