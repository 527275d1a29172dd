"""Progress: bars with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.box import SIMPLE
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from archatlas.records import Monitor

_PLAIN_SECONDS = 10.0


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Print names and values on standard output: a table on a terminal, aligned plain lines elsewhere."""
    rich = RichConsole(highlight=False)
    if not rich.is_terminal:
        for name, value in facts.items():
            rich.out(f"{name:<15} {value}")
        return
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(name), Text(value))  # as Text: brackets in names are no markup
    rich.print(table)


class TerminalConsole:
    """Draws on standard error, so that standard output holds results alone."""

    def __init__(self) -> None:
        self._rich = RichConsole(stderr=True, highlight=False)

    def log(self, line: str) -> None:
        """Show one line."""
        self._rich.print(line, markup=False, soft_wrap=True)

    @contextmanager
    def monitor(self, title: str, unit: str) -> Iterator[Monitor]:
        """Yield the monitor of one stage."""
        if self._rich.is_terminal:
            yield from self._bar(title, unit)
        else:
            yield self._lines(title, unit)

    def _bar(self, title: str, unit: str) -> Iterator[Monitor]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._rich) as progress:
            task = progress.add_task(title, total=None, note="")
            rate = _Rate(unit)

            def show(done: int, total: int, **figures: float) -> None:
                rate.see(done)
                progress.update(task, completed=done, total=total, note=rate.note(figures))

            yield show

    def _lines(self, title: str, unit: str) -> Monitor:
        rate, shown = _Rate(unit), time.monotonic()

        def show(done: int, total: int, **figures: float) -> None:
            nonlocal shown
            rate.see(done)
            if time.monotonic() - shown >= _PLAIN_SECONDS or done == total:
                shown = time.monotonic()
                self.log(f"{title}: {done:,} of {total:,}, {rate.note(figures)}{rate.left(total - done)}")

        return show


class _Rate:
    """Units per second since the first report, so that a continued stage shows its own speed."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.reports: list[tuple[float, int]] = []  # the first and the latest

    def see(self, done: int) -> None:
        self.reports = [*self.reports[:1], (time.monotonic(), done)]

    @property
    def per_second(self) -> float:
        (started, before), (now, done) = self.reports[0], self.reports[-1]
        return (done - before) / (now - started) if now > started else 0.0

    def note(self, figures: dict[str, float]) -> str:
        rate = [f"{self.per_second:.1f} {self.unit}s/s"] if self.per_second > 0 else []
        return ", ".join(rate + [f"{name} {value:.4g}" for name, value in figures.items()])

    def left(self, units: int) -> str:
        return f", {units / self.per_second:.0f} s left" if units and self.per_second > 0 else ""
