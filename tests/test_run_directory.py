"""A run directory has one owner, remembers what stages were made from, and redoes only what depends on a change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.run_directory import RunDirectory, fingerprint


def _run(path: Path, log: list[str]) -> RunDirectory:
    return RunDirectory(path, log.append)


def test_a_second_owner_is_refused_and_the_lock_goes_with_the_first(tmp_path: Path) -> None:
    with (
        _run(tmp_path / "run", []).owned(),
        pytest.raises(ConfigError, match="Another process is working"),
        _run(tmp_path / "run", []).owned(),
    ):
        pass
    with _run(tmp_path / "run", []).owned():
        pass


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match="no run of archatlas"), _run(tmp_path, []).owned():
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(ConfigError, match="is a file"), _run(tmp_path / "thesis.tex", []).owned():
        pass


def test_another_run_is_refused(tmp_path: Path) -> None:
    with _run(tmp_path / "run", []).owned() as run:
        run.claim("space a on b", "seed: 0\n")
    with _run(tmp_path / "run", []).owned() as run:
        run.claim("space a on b", "seed: 1\n")
        with pytest.raises(ArtifactMismatchError, match="is the run of space a on b, not of space c on b"):
            run.claim("space c on b", "seed: 2\n")
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 1\n"


def test_a_stage_is_done_once_and_redone_when_its_inputs_change(tmp_path: Path) -> None:
    log: list[str] = []
    with _run(tmp_path / "run", log).owned() as run:
        output = run.path / "out"
        for made_from, expected in (("a", False), ("a", True), ("b", False), ("b", True)):
            with run.stage("work", made_from, "out") as done:
                assert done is expected
                if not done:
                    assert not output.exists()
                    output.mkdir()
        assert log == ["work: settings or inputs have changed, redoing it"]
        events = [json.loads(line)["event"] for line in (run.path / "events.jsonl").read_text().splitlines()]
        assert events == ["stage done", "stage done"]
        assert set(run.seconds()) == {"work"}


def test_an_interrupted_stage_keeps_its_files_and_is_not_done(tmp_path: Path) -> None:
    with _run(tmp_path / "run", []).owned() as run:
        with pytest.raises(KeyboardInterrupt), run.stage("work", "a", "out"):
            (run.path / "out").mkdir()
            raise KeyboardInterrupt
        with run.stage("work", "a", "out") as done:
            assert not done
            assert (run.path / "out").is_dir()


def test_fingerprints_depend_on_every_part() -> None:
    assert fingerprint(1, {"a": 2, "b": 3}) == fingerprint(1, {"b": 3, "a": 2})
    assert fingerprint(1, {"a": 2}) != fingerprint(1, {"a": 3})
