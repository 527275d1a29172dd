"""Several processes started by a launcher: a whole run by the command line, as one process does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from archatlas import pipeline
from archatlas.cli.console import TerminalConsole
from archatlas.config import parse_config
from archatlas.session import open_run

SETTINGS = {
    "data": {"train_images": 128},
    "hardware": {"accelerator": "cpu", "threads": 1},
    "supernet": {"epochs": 2},
    "evaluation": {"recalibration_images": 16, "validation_images": 20},
    "predictor": {"name": "ridge"},
    "search": {"shortlist": 4, "sampling": {"round_size": 15, "floor": 30, "ceiling": 30}},
    "retraining": {"epochs": 1},
}


def _losses(run: Path) -> list[float]:
    header = json.loads((run / "supernet" / "supernet.json").read_text())
    return [epoch["loss"] for epoch in header["history"]]


@pytest.mark.slow
def test_torchrun_does_a_whole_run_and_tells_the_end_once(tmp_path: Path) -> None:
    config, run = tmp_path / "config.yaml", tmp_path / "two"
    config.write_text(yaml.safe_dump(SETTINGS))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    ended = subprocess.run(
        [*torchrun, "archatlas", "run", str(config), "--run", str(run)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("test accuracy") == 1
    assert ended.stderr.count("stage 1 of 4, train: begins") == 1
    assert json.loads((run / "result.json").read_text())["test_images"] == 300
    opened = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [event["processes"] for event in opened if event["event"] == "opened"] == [2]
    with open_run(parse_config(SETTINGS, source="test"), tmp_path / "one", TerminalConsole()) as alone:
        pipeline.train_stage(alone)
    assert _losses(run) == pytest.approx(_losses(tmp_path / "one"), abs=1e-4)
