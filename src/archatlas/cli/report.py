"""`archatlas report`: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory, finished or not, or a fit of a table.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default RUN/report.html.")
    ] = None,
) -> None:
    """Write the report of a run as one HTML file that opens without a network; says what is missing and how to get it.

    Examples: `archatlas report runs/digits`, `archatlas report runs/digits -o /tmp/digits.html`.
    """
    from archatlas.reporting.html import write_report

    typer.echo(f"wrote {write_report(run, output)}")


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(report)
