"""What may happen to a run: signals, files cut short, a full disk, changed settings. It ends the same every time."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archatlas.cli.console import TerminalConsole
from archatlas.records import Monitor
from archatlas.testing.commands import call, evaluation_rows

SETTINGS = """
data: {train_images: 128}
hardware: {accelerator: cpu, threads: 1}
supernet: {epochs: 8, checkpoint_seconds: 3600}
evaluation: {recalibration_images: 32, validation_images: 50}
predictor: {name: ridge}
search: {shortlist: 4, sampling: {round_size: 15, floor: 30, ceiling: 30}}
retraining: {epochs: 8, checkpoint_seconds: 3600}
"""


def _done(run: Path) -> list[str]:
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    return [line["stage"] for line in lines if line["event"] == "stage done"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def undisturbed(settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    assert call("run", str(settings), "--run", str(run)) == 0
    assert _done(run) == ["train", "search", "fit", "retrain"]
    return run


def _same(run: Path, other: Path) -> bool:
    same_bytes = (run / "result.json").read_bytes() == (other / "result.json").read_bytes()
    return same_bytes and evaluation_rows(run) == evaluation_rows(other)


def _signal_at(monkeypatch: pytest.MonkeyPatch, number: int, title: str, unit: int) -> None:
    """Send a signal to this process when the stage of a title reports a unit."""

    @contextmanager
    def monitor(self: TerminalConsole, shown: str, _: str) -> Iterator[Monitor]:
        def report(done: int, total: int, **figures: float) -> None:
            if title in shown and done == unit:
                os.kill(os.getpid(), number)

        yield report

    monkeypatch.setattr(TerminalConsole, "monitor", monitor)


def test_signals_end_every_stage_with_a_checkpoint_and_a_line(
    settings: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    stops = [
        (signal.SIGTERM, "super-network", 10, 143),
        (signal.SIGINT, "sub-networks", 7, 130),
        (signal.SIGTERM, "sub-networks", 2, 143),
        (signal.SIGTERM, "training the network", 10, 143),
    ]
    for number, title, unit, code in stops:
        with monkeypatch.context() as patched:
            _signal_at(patched, number, title, unit)
            assert call("run", str(settings), "--run", str(run)) == code
        line = capsys.readouterr().err.splitlines()[-1]
        assert line == f"stopped; continue with: archatlas run {settings} --run {run}"
        assert (run / "supernet" / "checkpoint.pt").is_file()
        assert not (run / "result.json").exists()
        assert not list(run.rglob(".*.pt"))
    assert (run / "network" / "checkpoint.pt").is_file()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert call("run", str(settings), "--run", str(run)) == 0
    assert _same(run, undisturbed)
    assert _done(run) == _done(undisturbed)


def test_files_cut_short_are_named_and_made_again(
    settings: Path,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    for path in sorted(run.rglob("*")):
        if path.is_file() and not path.name.startswith((".", "checkpoint")):
            with path.open("r+b") as stream:
                stream.truncate(path.stat().st_size // 2)
    shutil.rmtree(run / "predictor")
    (run / "events.jsonl").write_text((undisturbed / "events.jsonl").read_text()[:-40])
    assert call("run", str(settings), "--run", str(run)) == 0
    shown = capsys.readouterr().err
    for name in ("stages.json", "supernet/weights.safetensors", "search.json", "evaluations.sqlite", "fit.json"):
        assert f"{run / name} was" in shown or f"{run / name} is" in shown, name
    assert _same(run, undisturbed)


def test_a_full_disk_is_named_and_the_run_continues(
    settings: Path,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))  # less than a checkpoint
    try:
        assert call("run", str(settings), "--run", str(run)) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "checkpoint.pt cannot be written: File too large" in capsys.readouterr().err
    assert call("run", str(settings), "--run", str(run)) == 0
    assert _same(run, undisturbed)


@pytest.mark.parametrize(
    ("old", "new", "redone"),
    [
        ("predictor: {name: ridge}", "predictor: {name: window_gp}", ["search", "fit"]),
        ("shortlist: 4", "shortlist: 5", ["search"]),
        ("validation_images: 50", "validation_images: 60", ["search", "fit"]),
    ],
)
def test_changed_settings_redo_only_what_depends_on_them(
    old: str,
    new: str,
    redone: list[str],
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, changed = tmp_path / "run", tmp_path / "changed.yaml"
    shutil.copytree(undisturbed, run)
    changed.write_text(SETTINGS.replace(old, new))
    assert call("run", str(changed), "--run", str(run)) == 0
    said = [line.split(":")[0] for line in capsys.readouterr().err.splitlines() if "have changed, redoing" in line]
    same_winner = "retrain" not in said
    assert [name for name in said if name != "retrain"] == redone
    winners = [json.loads((path / "result.json").read_text())["architecture"] for path in (run, undisturbed)]
    assert same_winner is (winners[0] == winners[1])
