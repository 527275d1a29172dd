from __future__ import annotations

import csv
from importlib import util

import pytest
from pydantic import ValidationError

from archatlas import training
from archatlas.curves import Curves
from archatlas.training import TrainingConfig

POINTS = [{"epoch": 1, "loss": 2.5, "learning_rate": 0.1}, {"epoch": 2, "loss": 1.5, "learning_rate": 0.05}]


def rows(directory):
    with (directory / "log" / "metrics.csv").open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def test_csv_holds_each_epoch_once_also_after_continuing(tmp_path):
    curves = Curves("csv", tmp_path, [])
    curves.add(POINTS[0])
    expected = [{"step": p["epoch"], "loss": p["loss"], "learning_rate": p["learning_rate"]} for p in POINTS]
    assert rows(tmp_path) == expected[:1]  # on disk before the end
    continued = Curves("csv", tmp_path, POINTS[:1])
    continued.add(POINTS[1])
    continued.close()
    assert rows(tmp_path) == expected


def test_tensorboard_reads_the_curves(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        curves = Curves("tensorboard", tmp_path, POINTS)
        curves.close()
    events = EventAccumulator(str(tmp_path / "log")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 2.5), (2, 1.5)]


def test_none_writes_nothing(tmp_path):
    curves = Curves("none", tmp_path, POINTS)
    curves.close()
    assert not list(tmp_path.iterdir())


def test_a_missing_tensorboard_is_said_when_settings_are_read(monkeypatch):
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "tensorboard" else util.find_spec(name))
    assert TrainingConfig(log="csv").log == "csv"
    with pytest.raises(ValidationError, match=r"pip install 'archatlas\[tensorboard\]', or csv"):
        TrainingConfig(log="tensorboard")
