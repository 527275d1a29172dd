"""The parts of a page: text, tables, pictures, commands, and the sections that hold them.

A part says for each number whether it was measured by the super-network, is predicted, comes from stand-alone
training, or is exact; the page shows that as a word and a mark.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import plotly.graph_objects as go

Mark = Literal["measured", "predicted", "stand-alone"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value of a table.

    Args:
        text: What is shown.
        mark: What kind of number it is; None for exact ones and for words.
        bar: Share of the cell to fill, 0 to 1; None draws no bar.
    """

    text: str
    mark: Mark | None = None
    bar: float | None = None


Value = str | Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table; the first value of each row is its heading.

    Args:
        caption: What it lists.
        header: Of the columns; empty for tables of facts.
        rows: As long as the header.
        folded: Whether it opens on demand.
    """

    caption: str
    rows: tuple[tuple[Value, ...], ...]
    header: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """A figure with its text for those who do not see it.

    Args:
        name: Unique on the page.
        figure: What is drawn.
        title: Above the figure.
        alt: What there is to see, in a sentence or two.
        caption: How to read it.
        table: The numbers.
    """

    name: str
    figure: go.Figure
    title: str
    alt: str
    caption: str = ""
    table: Table | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line with what it does."""

    what: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of a chain that is drawn: a block, or a fixed part such as the stem.

    Args:
        label: Block number, or what it is.
        name: Operator.
        shape: Channels and stride.
        bars: Per cost: its name, its value in words and the share of the largest of its kind, 0 to 1.
        idle: Whether it does nothing.
    """

    label: str
    name: str
    shape: str
    bars: tuple[tuple[str, str, float], ...]
    idle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Section:
    """A section of the page, in the order in which its parts are shown.

    Args:
        name: Unique on the page.
        title: Heading.
        missing: What is not there yet; with `commands` that make it.
        text: Paragraphs.
        tables: Before the pictures.
        chain: A network, drawn.
        pictures: Figures.
        notes: Paragraphs after the pictures: what must not be read into them.
        commands: What to type next.
        code: Text in full, under a title.
    """

    name: str
    title: str
    missing: str = ""
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    chain: tuple[Link, ...] = ()
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    code: tuple[tuple[str, str], ...] = ()


def command(what: str, *words: str | Path) -> Command:
    """Return a command line of `archatlas` that a shell reads as these words."""
    return Command(what=what, line=shlex.join(["archatlas", *map(str, words)]))
