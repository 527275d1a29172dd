"""Predictors from the command line: a user's own table of scores, predictions, and the benchmark on public tables."""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archatlas.errors import ConfigError

if TYPE_CHECKING:  # torch and scikit-learn take seconds to import; `--help` must not
    from archatlas.benchmarks import BenchRow
    from archatlas.predictors import Predictor
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


def bench_predictors_command(
    json_out: Annotated[Path, typer.Option("--json", help="Receives one row per task, predictor, n and seed.")],
    tables: Annotated[Path, typer.Option(help="Folder of the public tables.")] = Path("../shared/data"),
    one_shot: Annotated[
        Path | None, typer.Option(help="One more npz: arch (A, L), ground_truth (A,), one_shot (S, A).")
    ] = None,
    task: Annotated[str, typer.Option(help="Only tasks whose name begins so.")] = "",
    predictor: Annotated[str, typer.Option(help="Only these predictors, comma-separated; none: all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of the samples.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Under a minute: one seed, few samples, fast rows.")] = False,
) -> None:
    """Compare every predictor with the truth of public tables.

    Tau is Kendall's tau-b; higher is better; of equal scores the row that stands first in the table comes first.
    Example: `archatlas bench predictors --tables ../shared/data --quick --json rows.json`.
    """
    from archatlas.benchmarks import bench_predictors, find_tasks, one_shot_task
    from archatlas.files import write_json
    from archatlas.predictors.order import OrderConfig

    tasks = find_tasks(tables) if tables.is_dir() or one_shot is None else []
    if one_shot is not None:
        tasks.append(one_shot_task(one_shot))
    chosen = [t for t in tasks if t.name.startswith(task)]
    if not chosen:
        raise ConfigError(f"No task begins with {task!r}; there are {', '.join(t.name for t in tasks)}.")
    predictors = [_build(name) for name in _names(predictor, quick=quick)]
    rows: list[BenchRow] = []
    for each in chosen:
        sizes = [100 if 100 in each.sizes else each.sizes[0]] if quick else each.sizes
        limit = 1 if quick else len(each.truth)
        found = bench_predictors(
            each, predictors, seeds=1 if quick else seeds, sizes=sizes, supernets=limit, order=OrderConfig()
        )
        for row in found:
            rows.append(row)
            typer.echo(f"{row.task} {row.predictor} n={row.n} seed={row.seed}: tau {row.tau:.3f}", err=True)
        write_json(json_out, [dataclasses.asdict(row) for row in rows])
    _print_means(rows)


def _names(wanted: str, *, quick: bool) -> list[str]:
    from typing import get_args

    from archatlas.predictors.config import PredictorName

    known: tuple[str, ...] = get_args(PredictorName)
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"No predictor {', '.join(unknown)}; there are {', '.join(known)}.")
    slow = ("global_gcn", "random_forest", "gradient_boosting", "gp", "mlp")
    return names or [name for name in known if not quick or name not in slow]


def _build(name: str) -> Predictor:
    from archatlas.predictors import PredictorConfig, build_predictor

    return build_predictor(PredictorConfig.model_validate({"name": name}))


def _print_means(rows: Sequence[BenchRow]) -> None:
    """Print mean and spread over seeds and super-networks of each task, predictor and n."""
    import numpy as np

    columns = ("tau", "tau_top_half", "tau_top10", "true_best", "true_top10_mean", "true_top100_mean", "fit_s", "mape")
    typer.echo(" ".join([f"{'task':26} {'predictor':28} {'n':>4}", *(f"{name:>16}" for name in columns)]))
    for key in dict.fromkeys((row.task, row.predictor, row.n) for row in rows):
        same = [row for row in rows if (row.task, row.predictor, row.n) == key]
        cells = []
        for name in columns:
            values = np.array([getattr(row, name) for row in same], dtype=float)
            cells.append(f"{values.mean():9.3f} ±{values.std():5.3f}" if np.isfinite(values).all() else " " * 16)
        typer.echo(" ".join([f"{key[0]:26} {key[1]:28} {key[2]:4d}", *cells]))
