"""`archatlas calibrate`: a few stand-alone trainings correct the fit of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archatlas.cli.run import RunArgument, opened_run
from archatlas.errors import ConfigError


def calibrate(
    run: RunArgument,
    trainings: Annotated[
        int | None, typer.Option(min=1, help="Networks to train in all; none: calibration.trainings.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="CSV with the columns architecture and score: true labels, no training.")
    ] = None,
) -> None:
    """Train a few networks stand-alone and correct the fit by them; `query`, `pareto`, `describe` then answer by it.

    The same command continues a stopped calibration; a larger number adds to it.
    Examples: `archatlas calibrate runs/digits --trainings 20`, `archatlas calibrate runs/digits --labels mine.csv`.
    """
    from archatlas.calibration import calibrate_from_table, calibrate_run
    from archatlas.records import format_architecture

    if trainings is not None and labels is not None:
        raise ConfigError("archatlas calibrate takes --trainings or --labels, not both: their units may differ.")
    if not (run / "config.yaml").is_file():
        raise ConfigError(f"{run} holds no run; make one with: archatlas run --run {run}")
    with opened_run(None, run) as session:
        if labels is not None:
            result = calibrate_from_table(session, labels)
        else:
            result = calibrate_run(session, trainings=trainings or session.config.calibration.trainings)
    typer.echo(f"labels          {result.labels}, best {result.best_label:.6g} by {format_architecture(result.best)}")
    typer.echo(f"one-shot order  tau {result.tau_before:.3f} to the labels")
    typer.echo(f"calibrated      tau {result.tau_after:.3f} to labels that the fit has not seen (of {result.labels})")
    typer.echo(f"predicted best  {format_architecture(result.predicted_best)}")
    typer.echo(f"train next      {' '.join(map(format_architecture, result.proposals))}")
    typer.echo(
        f"next            archatlas query {run}   |   archatlas retrain {run} {format_architecture(result.best)}"
    )


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(calibrate)
