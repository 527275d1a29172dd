"""What the page hands over to the command line: settings for another run, and the commands that use the choice."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from archatlas.config import dump_config
from archatlas.explorer.knowledge import Knowledge
from archatlas.files import read_json
from archatlas.records import Architecture, Budget, format_architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command to copy.

    Args:
        text: For a POSIX shell.
        note: What it does, as a sentence.
    """

    text: str
    note: str


def file_name(architecture: Architecture) -> str:
    """Return the name of the exported settings."""
    return f"archatlas-{format_architecture(architecture)}.yaml"


def settings(knowledge: Knowledge, architecture: Architecture, budgets: Sequence[Budget]) -> str | None:
    """Return the run's settings with these budgets as YAML that `archatlas` reads; None if there are no settings."""
    if knowledge.config is None:
        return None
    limits = {budget.cost: budget.upper for budget in budgets}
    lines = [f"# Chosen in the explorer: {format_architecture(architecture)}"]
    if not knowledge.is_run:
        lines.append("# The scores came from a table: set data below to the images to train on.")
    lines += [f"# {command.note}\n#   {command.text}" for command in fresh_commands(architecture)]
    return "\n".join(lines) + "\n" + dump_config(knowledge.config.model_copy(update={"budgets": limits}))


def commands(knowledge: Knowledge, architecture: Architecture) -> list[Command]:
    """Return the commands that use a network, those that need the exported settings last."""
    text = format_architecture(architecture)
    found = []
    if knowledge.is_run:
        here = shlex.join(["archatlas", "retrain", str(knowledge.path), text])
        found.append(Command(text=here, note=f"Trains {text} on its own, in this run.{_replaces(knowledge, text)}"))
    return found + (fresh_commands(architecture) if knowledge.config is not None else [])


def fresh_commands(architecture: Architecture) -> list[Command]:
    """Return the commands that use the exported settings in directories of their own."""
    text, name = format_architecture(architecture), file_name(architecture)
    return [
        Command(
            text=f"archatlas retrain runs/{text} {text} --config {name}",
            note=f"Trains {text} on its own, in a new run.",
        ),
        Command(
            text=f"archatlas run {name} --run runs/{text}-search",
            note="Searches anew under these budgets, from the super-network on.",
        ),
    ]


def _replaces(knowledge: Knowledge, text: str) -> str:
    header = knowledge.path / "network" / "network.json"
    held = read_json(header)["architecture"] if header.exists() else text
    return f" Takes the place of {held}, which was trained there." if held != text else ""
