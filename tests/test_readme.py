"""The README's commands are the ones that continuous integration runs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_ci_calls_the_test_command_of_the_readme() -> None:
    commands = re.findall(r"^python3 -m venv.*$", (ROOT / "README.md").read_text(), flags=re.M)
    assert len(commands) == 2
    assert commands[0].endswith("archatlas run")
    assert commands[1].endswith("pytest")
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()
