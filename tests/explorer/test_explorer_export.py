from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from archatlas.config import load_config, parse_config
from archatlas.errors import ConfigError
from archatlas.explorer.desk import Desk
from archatlas.explorer.explorer import Explorer
from archatlas.explorer.export import commands, file_name, fresh_commands, settings
from archatlas.records import Budget
from archatlas.testing.commands import call

SETTINGS = """
hardware: {accelerator: cpu, threads: 1}
retraining: {epochs: 1}
seed: 3
"""


def test_the_exported_settings_and_command_train_the_choice(
    explorer: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = parse_config(yaml.safe_load(SETTINGS), source="test")
    known = replace(explorer.knowledge, config=config)
    text = settings(known, (0, 1, 0, 0, 0, 0), [Budget(cost="macs", upper=4e5)])
    assert text is not None
    monkeypatch.chdir(tmp_path)
    Path(file_name((0, 1, 0, 0, 0, 0))).write_text(text)
    read = load_config(Path("archatlas-010000.yaml"))
    assert read.budgets == {"macs": 4e5}
    assert read.model_copy(update={"budgets": {}}) == config
    command = fresh_commands((0, 1, 0, 0, 0, 0))[0].text
    assert command in text
    assert call(*shlex.split(command)[1:]) == 0
    assert "010000: test accuracy" in capsys.readouterr().out
    assert json.loads(Path("runs/010000/network/network.json").read_text())["architecture"] == "010000"


def test_a_command_for_the_run_says_what_it_replaces(explorer: Explorer, run: Path) -> None:
    first = commands(explorer.knowledge, (2, 2, 2))[0]
    assert shlex.split(first.text) == ["archatlas", "retrain", str(run), "222"]
    assert "Takes the place of 111" in first.note
    assert "Takes the place" not in commands(explorer.knowledge, (1, 1, 1))[0].note


def test_without_settings_there_is_nothing_to_download(enumerated: Explorer) -> None:
    desk = Desk(enumerated)
    _, use, disabled = desk.network({"network": "111", "why": ""})
    assert disabled
    assert "archatlas init --space" in str(use)
    assert commands(enumerated.knowledge, (1, 1, 1)) == []
    with pytest.raises(ConfigError, match="no settings"):
        desk.exported({"network": "111", "why": ""}, {})


def test_the_command_line_refuses_with_one_message(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("explore", "nowhere") == 2
    assert "is no run directory" in capsys.readouterr().err
    assert call("explore", str(run), "--host", "256.0.0.1") == 2
    assert "Cannot listen on 256.0.0.1, port 8050" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert call("explore", str(run)) == 2
    assert "pip install 'archatlas[ui]'" in capsys.readouterr().err
