"""The command line called in this process, and what a run's table of evaluations holds."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from unittest.mock import patch

from archatlas import cli


def call(*arguments: str) -> int:
    """Run `archatlas ARGUMENTS` and return its exit code."""
    with patch.object(sys, "argv", ["archatlas", *arguments]):
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def evaluation_rows(run: Path) -> list[tuple[object, ...]]:
    """Return architecture, loss, accuracy and how often it was made, of every evaluation of a run."""
    with sqlite3.connect(run / "evaluations.sqlite") as connection:
        return connection.execute("SELECT architecture, loss, accuracy, times FROM evaluations ORDER BY 1").fetchall()
