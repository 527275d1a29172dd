"""The main job from the command line: whole, killed and continued, changed, and given wrong input."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from lightning_fabric import Fabric

from archatlas.cli.console import TerminalConsole
from archatlas.config import parse_config
from archatlas.data import DataConfig, load_data
from archatlas.measurement import measure
from archatlas.retraining import load_network
from archatlas.session import open_run
from archatlas.spaces.digits import digits
from archatlas.testing.commands import call, evaluation_rows

SETTINGS = """
hardware: {accelerator: cpu, threads: 1}
supernet: {epochs: 3, checkpoint_seconds: 0}
evaluation: {recalibration_images: 64, validation_images: 100}
predictor: {training: {members: 2}}
search: {shortlist: 6, sampling: {round_size: 20, floor: 40, ceiling: 40}}
retraining: {epochs: 2, checkpoint_seconds: 0}
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "quick.yaml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def undisturbed(settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    finished = subprocess.run([*_command(settings, run)], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "test accuracy" in finished.stdout
    return run


def _command(settings: Path, run: Path) -> list[str]:
    code = "from archatlas.cli import main; main()"
    return [sys.executable, "-c", code, "run", str(settings), "--run", str(run)]


def test_a_run_leaves_a_result_a_fit_and_an_atlas(undisturbed: Path) -> None:
    result = json.loads((undisturbed / "result.json").read_text())
    assert len(result["architecture"]) == 6
    assert 0 <= result["test_accuracy"] <= 1
    assert result["evaluations"] == 46
    assert set(result["costs"]) == {"macs", "params"}
    report = json.loads((undisturbed / "fit.json").read_text())
    shortlisted = json.loads((undisturbed / "search.json").read_text())["shortlisted"]
    assert report["num_fitted"] + report["num_held_out"] == 40 == len(evaluation_rows(undisturbed)) - len(shortlisted)
    assert {"macs", "params", "depth", "ridge"} <= {row["name"] for row in report["rows"]}
    assert "not agreement with the truth" in report["caution"]
    assert (undisturbed / "atlas" / "atlas.json").is_file()
    rows = evaluation_rows(undisturbed)
    assert 40 <= len(rows) <= 46
    assert {times for *_, times in rows} == {1}


def _in_training(run: Path) -> bool:
    return (run / "supernet" / "checkpoint.pt").exists()


def _in_evaluation(run: Path) -> bool:
    return (run / "evaluations.sqlite").exists() and len(evaluation_rows(run)) >= 5


def _in_retraining(run: Path) -> bool:
    return (run / "network" / "checkpoint.pt").exists()


def _kill_when(reached: Callable[[Path], bool], settings: Path, run: Path) -> None:
    process = subprocess.Popen(_command(settings, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not _ready(reached, run):
        assert process.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def _ready(reached: Callable[[Path], bool], run: Path) -> bool:
    try:
        return reached(run)
    except sqlite3.OperationalError:  # the table is not made yet
        return False


def test_killed_in_every_stage_and_continued_it_ends_the_same(
    settings: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    for reached in (_in_training, _in_evaluation, _in_retraining):
        _kill_when(reached, settings, run)
        assert not (run / "result.json").exists()
    finished = subprocess.run(_command(settings, run), capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert (run / "result.json").read_bytes() == (undisturbed / "result.json").read_bytes()
    assert evaluation_rows(run) == evaluation_rows(undisturbed)


def test_only_dependent_stages_are_redone(
    settings: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = evaluation_rows(undisturbed)
    changed = settings.parent / "changed.yaml"
    changed.write_text(SETTINGS.replace("retraining: {epochs: 2", "retraining: {epochs: 1"))
    assert call("run", str(changed), "--run", str(undisturbed)) == 0
    shown = capsys.readouterr().err
    assert "retrain: settings or inputs have changed, redoing it" in shown
    assert "train: settings" not in shown.replace("retrain:", "")
    assert "scoring" not in shown
    assert evaluation_rows(undisturbed) == before


def test_the_written_network_is_the_tested_one(undisturbed: Path) -> None:
    data = load_data(DataConfig())
    network = load_network(digits(), undisturbed / "network")
    found = measure(network, data.test, fabric=Fabric(accelerator="cpu", devices=1))
    assert found.accuracy == json.loads((undisturbed / "network" / "network.json").read_text())["test_accuracy"]


@pytest.mark.parametrize("change", ["data: {augmentation: {crop_padding: 0}}", "hardware: {precision: bf16-mixed}"])
def test_every_training_depends_on_augmentation_and_precision(change: str, tmp_path: Path) -> None:
    fingerprints = []
    for number, given in enumerate(({}, yaml.safe_load(change))):
        with open_run(parse_config(given, source="test"), tmp_path / str(number), TerminalConsole()) as run:
            fingerprints.append((run.trained_from, run.training_fingerprint(run.config.retraining, (0,) * 6)))
    assert not set(fingerprints[0]) & set(fingerprints[1])


def test_a_table_of_scores_is_fitted_predicted_and_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, fitted = tmp_path / "scores.csv", str(tmp_path / "fitted")
    rows = digits().all_architectures()[::9].tolist()
    table.write_text("architecture,score\n" + "".join(f"{''.join(map(str, r))},{50 + sum(r)}\n" for r in rows))
    assert call("fit", "--table", str(table), "--space", "digits", "-o", fitted) == 0
    assert "held-out measured scores" in capsys.readouterr().out
    assert call("predict", f"{fitted}/predictor", "222222", "000000", "--space", "digits") == 0
    best, worst = (float(line.split(",")[1]) for line in capsys.readouterr().out.splitlines()[1:])
    assert best > worst
    assert call("query", fitted, "macs <= 1e6", "--top", "3", "--format", "csv") == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    table.write_text("architecture,score\n222222,nan\n")
    assert call("fit", "--table", str(table), "--space", "digits", "-o", f"{fitted}2") == 2
    assert not Path(f"{fitted}2").exists()


def test_single_stages_work_on_a_run(undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(undisturbed)
    assert call("train", run) == 0
    assert call("evaluate", run, "000000", "010000", "001000", "222222") == 0
    captured = capsys.readouterr()
    assert "4 asked, 4 distinct networks" not in captured.err
    assert len(captured.out.splitlines()) == 1 + len({"000000", "010000", "001000", "222222"}) - 1
    assert "4 asked, 3 distinct networks" in captured.err  # 010000 and 001000 are one network
    assert call("search", run) == 0
    assert "one-shot accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "{missing}"), "does not exist; write one with: archatlas init"),
        (("evaluate", "{run}", "77"), "has 6 blocks"),
        (("evaluate", "{run}", "000009"), "Block 5 of digits takes one of: 0 = identity"),
        (("evaluate", "{run}", "abc"), "Expected an architecture such as 20135"),
        (("retrain", "{run}", "00000000"), "has 6 blocks"),
        (("init", "--space", "nowhere"), "Unknown space 'nowhere'"),
        (("fit",), "takes a run directory, or --table"),
    ],
)
def test_wrong_input_gets_one_message_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [a.format(run=undisturbed, missing=tmp_path / "none.yaml") for a in arguments]
    assert call(*filled) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budgets: {macs: 10}", "the smallest attainable macs is 151,808"),
        ("budgets: {watts: 10}", "budgets names the cost 'watts'; this run has macs, params"),
        ("data: {name: folder, path: nowhere}", "nowhere"),
        ("search: {mode: segments, segments: [2, 2]}", "add up to 4; digits has 6 blocks"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    text: str,
    message: str,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text if "data:" in text else SETTINGS.replace("search: {", "search: {mode: whole, ") + text)
    if "mode: segments" in text:
        path.write_text(SETTINGS.replace("search: {", text.removesuffix("}") + ", "))
    run = tmp_path / "run" if "data:" in text else undisturbed
    assert call("run", str(path), "--run", str(run)) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_init_writes_settings_that_run_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "mine.yaml"
    assert call("init", "--space", "fairnas", "--data", "./images", "-o", str(output)) == 0
    assert "name: folder" in output.read_text()
    assert call("init", "-o", str(output)) == 2
    assert "exists already" in capsys.readouterr().err
