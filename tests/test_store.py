from __future__ import annotations

import multiprocessing
import signal
import sqlite3

import pytest

from archatlas.errors import ArtifactMismatchError
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


def test_a_damaged_file_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "evaluations.sqlite"
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(ArtifactMismatchError, match=r"evaluations\.sqlite is damaged .* Move it away"):
        EvaluationStore(path)


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
    with pytest.raises(ArtifactMismatchError, match="is damaged"):
        store.all(SCOPE)
