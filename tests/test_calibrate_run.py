"""Calibration of a run on the embedded digits: trained, continued, by a table, refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from archatlas import cli, labelling, pipeline
from archatlas.atlas import load_atlas
from archatlas.calibration import calibrate_from_table, calibrate_run
from archatlas.cli.console import TerminalConsole
from archatlas.config import parse_config
from archatlas.errors import ConfigError
from archatlas.predictors import load
from archatlas.predictors.calibration import FittedCalibration
from archatlas.records import Architectures, Evaluation, as_array
from archatlas.session import Run, open_run
from archatlas.workers import RayConfig, Subject

SETTINGS = {
    "hardware": {"accelerator": "cpu", "threads": 1},
    "supernet": {"epochs": 1},
    "evaluation": {"recalibration_images": 64, "validation_images": 100},
    "predictor": {"name": "window_gp"},
    "budgets": {"params": 60_000},
    "retraining": {"epochs": 2, "checkpoint_seconds": 0},
    "calibration": {"epochs": 1, "round_size": 2, "trusting": 4},
}


@contextmanager
def opened(path: Path, **changed: object) -> Iterator[Run]:
    with open_run(parse_config(SETTINGS | changed, source="test"), path, TerminalConsole()) as run:
        yield run


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a super-network, scores and a one-shot fit."""
    path = tmp_path_factory.mktemp("runs") / "scored"
    with opened(path) as run:
        pipeline.train_stage(run)
        pipeline.evaluate_stage(run, [], 40)
        pipeline.fit_stage(run)
    return path


@pytest.fixture(scope="module")
def calibrated(scored: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "calibrated"
    shutil.copytree(scored, path)
    with opened(path) as run:
        calibrate_run(run, trainings=6)
    return path


def _trainings(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path / "trainings.sqlite") as connection:
        return connection.execute("SELECT architecture, accuracy, times FROM evaluations ORDER BY 1").fetchall()


def test_predictor_and_atlas_answer_by_the_labels(calibrated: Path, scored: Path) -> None:
    with opened(calibrated) as run:
        fitted = load(calibrated / "predictor", run.graph)
        atlas = load_atlas(calibrated / "atlas", run.graph)
        before = load_atlas(scored / "atlas", run.graph)
        networks = run.space.canonical(run.space.all_architectures())[::50]
    assert isinstance(fitted, FittedCalibration)
    np.testing.assert_allclose(atlas.score(networks), fitted.rank(networks), atol=1e-9)
    assert not np.allclose(atlas.score(networks), before.score(networks))
    found = json.loads((calibrated / "calibration.json").read_text())
    trained = {row["architecture"]: row["label"] for row in found["labels"]}
    assert trained == {name: accuracy for name, accuracy, _ in _trainings(calibrated)}
    assert found["best"] == max(trained, key=lambda name: trained[name])
    params = run.graph.costs["params"](as_array([list(map(int, name)) for name in [*trained, found["predicted_best"]]]))
    assert (params <= 60_000).all()
    assert not (calibrated / "calibration").exists()


def test_a_stopped_calibration_continues_alike(
    calibrated: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped inside the fourth training and after it: the same labels, none made twice."""
    path, left, train = tmp_path / "stopped", 3, labelling.train_and_score
    shutil.copytree(scored, path)

    def stop(*arguments: object, **options: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return train(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(labelling, "train_and_score", stop)
    with opened(path) as run, pytest.raises(KeyboardInterrupt):
        calibrate_run(run, trainings=6)
    assert len(_trainings(path)) == 3
    left = 3
    with opened(path) as run:
        calibrate_run(run, trainings=6)
    assert (left, _trainings(path)) == (0, _trainings(calibrated))
    assert (path / "calibration.json").read_text() == (calibrated / "calibration.json").read_text()


def test_trainings_by_workers_give_the_same_labels(
    calibrated: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers are stood in for by one that does its jobs here, the last one first."""
    path, jobs_done = tmp_path / "fanned", []
    shutil.copytree(scored, path)

    @contextmanager
    def fanned_out(name: str, config: RayConfig, subject: Callable[[], Subject]) -> Iterator[object]:
        work = subject().start(torch.device("cpu"))

        def workers(jobs: Sequence[Architectures]) -> Iterator[Evaluation]:
            jobs_done.append(len(jobs))
            for rows in reversed(jobs):
                yield from work(rows)

        assert name == "ray"
        yield workers

    monkeypatch.setattr(labelling, "fanned_out", fanned_out)
    monkeypatch.setattr(labelling, "train_and_score", None)
    with opened(path, workers="ray") as run:
        calibrate_run(run, trainings=6)
    assert jobs_done == [2, 2, 2]
    assert _trainings(path) == _trainings(calibrated)
    assert (path / "calibration.json").read_text() == (calibrated / "calibration.json").read_text()
    assert not (path / "calibration").exists()


def test_a_table_of_labels(calibrated: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same labels in percent give the same atlas."""
    path, table = tmp_path / "run", tmp_path / "labels.csv"
    shutil.copytree(scored, path)
    rows = json.loads((calibrated / "calibration.json").read_text())["labels"]
    table.write_text("architecture,score\n" + "".join(f"{r['architecture']},{100 * r['label']}\n" for r in rows))
    monkeypatch.setattr(labelling, "train_and_score", None)
    with opened(path) as run:
        result = calibrate_from_table(run, table)
        networks = run.space.all_architectures()
        atlases = [load_atlas(p / "atlas", run.graph) for p in (path, calibrated)]
    assert result.labels == 6
    assert len(result.proposals) == 2
    np.testing.assert_array_equal(*(atlas.score(networks) for atlas in atlases))


def test_the_command(calibrated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def main(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["archatlas", *arguments])
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    monkeypatch.setattr(labelling, "train_and_score", None)  # everything is trained already
    assert main("calibrate", str(calibrated), "--trainings", "6") == 0
    shown = capsys.readouterr().out
    assert "labels          6" in shown
    assert "labels that the fit has not seen" in shown
    assert main("query", str(calibrated), "params <= 60000", "--top", "1", "--format", "csv") == 0
    predicted = json.loads((calibrated / "calibration.json").read_text())["predicted_best"]
    assert capsys.readouterr().out.splitlines()[1].startswith(predicted)
    assert main("describe", str(calibrated), predicted) == 0
    assert main("pareto", str(calibrated)) == 0
    assert main("calibrate", str(calibrated), "--trainings", "6", "--labels", "x.csv") == 2
    assert "not both" in capsys.readouterr().err
    assert main("calibrate", str(calibrated.parent)) == 2
    assert "holds no run" in capsys.readouterr().err
    assert main("calibrate", str(calibrated), "--labels", "missing.csv") == 2
    assert "Expected a CSV table" in capsys.readouterr().err


def test_what_cannot_be_calibrated(scored: Path) -> None:
    with opened(scored) as run, pytest.raises(ConfigError, match="at least 5 labels, got 3"):
        calibrate_run(run, trainings=3)
