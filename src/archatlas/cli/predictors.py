"""Predictors from the command line: fit reports and predictions."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from archatlas.errors import ConfigError

if TYPE_CHECKING:  # torch and scikit-learn take seconds to import; `--help` must not
    from archatlas.predictors.report import FitReport
    from archatlas.records import Architecture
    from archatlas.spaces import ChainSpace


def print_report(report: FitReport) -> None:
    """Print a fit report as a plain table with its rule and its caution."""
    typer.echo(f"fitted to {report.num_fitted}, compared with {report.num_held_out} held-out measured scores")
    typer.echo(f"{'':24} {'tau':>7} {'rho':>7} {'top 10 %':>9}")
    for row in report.rows:
        typer.echo(f"{row.name:24} {row.tau:7.3f} {row.rho:7.3f} {row.top_overlap:9.3f}")
    typer.echo(report.rule)
    typer.echo(report.caution)


def predict_scores(predictor: Path, space: ChainSpace, architectures: Sequence[Architecture]) -> None:
    """Write predictions of a saved predictor to standard output as CSV, in the order given.

    Columns: `architecture`, `score` (the two-stage order that search uses), `mean` and `std` (the flexible score in
    normal-score units); higher is better.
    """
    from archatlas.costs.macs import count_costs
    from archatlas.predictors import load
    from archatlas.records import as_array, format_architecture
    from archatlas.spaces import chain_graph

    if not architectures:
        raise ConfigError("Expected at least one architecture to predict, such as 012012.")
    for architecture in architectures:
        space.validate(architecture)
    fitted = load(predictor, chain_graph(space, count_costs(space)))
    batch = as_array(architectures)
    prediction, ranks = fitted.predict(batch), fitted.rank(batch)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("architecture", "score", "mean", "std"))
    for architecture, score, mean, std in zip(architectures, ranks, prediction.mean, prediction.std, strict=True):
        writer.writerow((format_architecture(architecture), float(score), float(mean), float(std)))
