"""A short run of the digits, whose report is looked at."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from archatlas.cli.console import TerminalConsole
from archatlas.config import parse_config
from archatlas.pipeline import run_all
from archatlas.session import open_run

SETTINGS = """
hardware: {accelerator: cpu, threads: 1}
supernet: {epochs: 2, checkpoint_seconds: 0}
evaluation: {recalibration_images: 64, validation_images: 100}
predictor: {training: {members: 2}}
search: {shortlist: 6, sampling: {round_size: 20, floor: 40, ceiling: 40}}
retraining: {epochs: 1, checkpoint_seconds: 0}
budgets: {macs: 2.0e6}
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reported") / "digits"
    with open_run(parse_config(yaml.safe_load(SETTINGS), source="test"), path, TerminalConsole()) as run:
        run_all(run)
    return path


@pytest.fixture(scope="session")
def hostile_names() -> tuple[str, ...]:
    """Names of operators and classes that try to be markup."""
    return (
        "<b>bold</b>",
        "\"quoted' & </script><script>alert(1)</script>",
        "名前 – ünïcode\u2028",
        "$x$ %{x} {{ 7 * 7 }}",
    )


@pytest.fixture
def hostile(finished: Path, hostile_names: tuple[str, ...], tmp_path: Path) -> Path:
    """A run whose path, operators and classes have such names."""
    run = tmp_path / "<i>run & 'co'"
    shutil.copytree(finished, run)
    for path in (run / "space.json", run / "atlas" / "atlas.json"):
        facts = json.loads(path.read_text())
        facts["graph"]["operator_names"] = [hostile_names[:3]] * 6
        path.write_text(json.dumps(facts))
    data = json.loads((run / "data.json").read_text())
    data["class_names"][:4] = hostile_names
    (run / "data.json").write_text(json.dumps(data))
    return run
