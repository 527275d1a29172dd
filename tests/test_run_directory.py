"""A run directory has one owner, remembers what stages were made from, and redoes only what depends on a change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.run_directory import MARKER, RunDirectory, fingerprint


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


def _finished(path: Path) -> None:
    with _run(path, []).owned() as run:
        run.claim("space a on b", "seed: 0\n")
        with run.stage("work", "a", "out"):
            (path / "out").mkdir()
            for name in ("one", "two", "checkpoint.pt"):
                (path / "out" / name).write_text(name)


def test_a_process_killed_at_its_very_start_leaves_a_directory_that_can_be_used(tmp_path: Path) -> None:
    leftover = tmp_path / f".{MARKER}.{2**22 - 1}.json"
    leftover.write_text("{")
    (tmp_path / ".lock").touch()
    with _run(tmp_path, []).owned() as run:
        run.claim("space a on b", "seed: 0\n")
    assert not leftover.exists()


@pytest.mark.parametrize("spoil", ["one", "two"])
def test_a_damaged_file_of_a_finished_stage_is_made_again(tmp_path: Path, spoil: str) -> None:
    _finished(tmp_path)
    log: list[str] = []
    (tmp_path / "out" / "checkpoint.pt").write_text("is not looked at")
    with _run(tmp_path, log).owned() as run, run.stage("work", "a", "out") as done:
        assert done
    (tmp_path / "out" / spoil).write_text("o")
    with _run(tmp_path, log).owned() as run:
        with run.stage("work", "a", "out") as done:
            assert not done
            assert {path.name for path in (tmp_path / "out").iterdir()} == {"one", "two", "checkpoint.pt"} - {spoil}
            (tmp_path / "out" / spoil).write_text("new")
        with run.stage("work", "a", "out") as done:
            assert done
    assert log == [f"work: {tmp_path / 'out' / spoil} is missing or damaged, making it again"]


@pytest.mark.parametrize("content", [None, b"", b'{"form', b"[]", b'{"work": 3}', b"\xff"])
def test_a_damaged_record_is_rebuilt_from_the_events(tmp_path: Path, content: bytes | None) -> None:
    _finished(tmp_path)
    before = json.loads((tmp_path / MARKER).read_text())
    (tmp_path / MARKER).unlink()
    if content is not None:
        (tmp_path / MARKER).write_bytes(content)
    with (tmp_path / "events.jsonl").open("a") as stream:
        stream.write('{"time": 1, "event": "stage do')  # cut short by a power loss
    log: list[str] = []
    with _run(tmp_path, log).owned() as run:
        assert json.loads((tmp_path / MARKER).read_text()) == before
        run.event("next")
    assert log == [f"{tmp_path / MARKER} was missing or damaged; rebuilt it from events.jsonl"]
    assert json.loads((tmp_path / "events.jsonl").read_text().splitlines()[-1])["event"] == "next"


def test_outputs_of_unknown_origin_are_not_built_upon(tmp_path: Path) -> None:
    _finished(tmp_path)
    (tmp_path / "events.jsonl").unlink()
    (tmp_path / MARKER).write_text("{")
    with _run(tmp_path, []).owned() as run, run.stage("work", "b", "out") as done:
        assert not done
        assert not (tmp_path / "out").exists()


def test_a_record_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    _finished(tmp_path)
    (tmp_path / MARKER).write_text('{"format": 2}')
    with pytest.raises(ArtifactMismatchError, match="has format 2; .* formats up to 1"), _run(tmp_path, []).owned():
        pass
    assert (tmp_path / MARKER).read_text() == '{"format": 2}'
