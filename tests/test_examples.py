"""The worked examples of the documentation run, and say what they promise."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"


def _run(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def test_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = _run("digits.py", monkeypatch, capsys, str(tmp_path / "run"), "--quick")
    assert re.search(r"chosen: [0-2]{6}, [\d.]+% stand-alone test accuracy", said)
    assert said.count("proven gap 0\n") == 3
    assert (tmp_path / "run" / "report.html").is_file()


def test_budget_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = _run("budget_table.py", monkeypatch, capsys, str(tmp_path), "--quick")
    costs = re.search(r"macs <= 60,000,000: [0-2]{8} \(([\d,]+)\)", said)
    assert costs is not None
    assert int(costs[1].replace(",", "")) <= 60_000_000
    assert "smallest attainable macs" in said
    assert (tmp_path / "report.html").is_file()


def test_own_predictor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = _run("own_predictor.py", monkeypatch, capsys, "--quick")
    assert "best of 441: 222222, proven gap 0" in said
    tau = re.search(r"without noise ([\d.]+)", said)
    assert tau is not None
    assert float(tau[1]) > 0.6


def test_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    said = _run("own_data.py", monkeypatch, capsys, str(tmp_path), "--quick")
    assert "3 classes, 3 channels, 16x16 pixels" in said
    assert "{'circle': 78, 'square': 106, 'triangle': 26}" in said
    assert re.search(r"[0-2]{6}: test accuracy [\d.]+%, mean over classes [\d.]+%", said)


def test_retraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = _run("retraining.py", monkeypatch, capsys, str(tmp_path), "--quick")
    accuracies = dict(re.findall(r"(\w+): test accuracy ([\d.]+)%", said))
    assert list(accuracies) == ["quick", "strong", "inherited", "taught"]
    assert float(accuracies["inherited"]) > float(accuracies["quick"])
    for name in ("supernet", *accuracies):
        assert (tmp_path / name / "log" / "metrics.csv").is_file()


def test_every_example_is_listed() -> None:
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    listed = set(re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text()))
    assert scripts == listed
