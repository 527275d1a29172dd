"""What the terminal shows: stages with numbers, facts as plain lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from archatlas.cli.console import print_facts
from archatlas.run_directory import RunDirectory


def test_facts_are_plain_aligned_lines_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts("Title", {"network": "[red]2[/red]", "files": "x" * 200})
    assert capsys.readouterr().out == f"network         [red]2[/red]\nfiles           {'x' * 200}\n"


def test_facts_are_a_table_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    print_facts("Title", {"network": "[red]2[/red]"})
    shown = capsys.readouterr().out
    assert "Title" in shown
    assert "[red]2[/red]" in shown


def test_stages_of_a_run_say_their_number_and_how_they_go_on(tmp_path: Path) -> None:
    said: list[str] = []
    with RunDirectory(tmp_path / "run", said.append).owned() as directory:
        with pytest.raises(KeyboardInterrupt), directory.stage("search", "a"):
            raise KeyboardInterrupt
        for _ in range(2):
            with directory.stage("search", "a"):
                pass
    assert said[0] == "stage 2 of 4, search: begins"
    assert said[1].startswith("stage 2 of 4, search: continuing after ")
    assert said[2].startswith("search: done in ")
    assert said[3].startswith("stage 2 of 4, search: done before, in ")
