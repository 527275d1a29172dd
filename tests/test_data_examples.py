"""The worked examples of own data and of recipes run, and say what they promise."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def _run(name: str, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", [name, str(directory), "--quick"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = _run("own_data.py", tmp_path, monkeypatch, capsys)
    assert "3 classes, 3 channels, 16x16 pixels" in said
    assert "{'circle': 78, 'square': 106, 'triangle': 26}" in said
    assert re.search(r"[0-2]{6}: test accuracy [\d.]+%, mean over classes [\d.]+%", said)


def test_retraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = _run("retraining.py", tmp_path, monkeypatch, capsys)
    accuracies = dict(re.findall(r"(\w+): test accuracy ([\d.]+)%", said))
    assert list(accuracies) == ["quick", "strong", "inherited", "taught"]
    assert float(accuracies["inherited"]) > float(accuracies["quick"])
    for name in ("supernet", *accuracies):
        assert (tmp_path / name / "log" / "metrics.csv").is_file()
