"""Benchmarks against public ground truth: `archatlas bench predictors`, `macro`, `nb201`, `search`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archatlas.errors import ConfigError

if TYPE_CHECKING:  # torch and scikit-learn take seconds to import; `--help` must not
    from archatlas.benchmarks import BenchRow
    from archatlas.benchmarks.supernet_rows import Plan
    from archatlas.predictors import Predictor

JsonOption = Annotated[
    Path, typer.Option("--json", help="Receives the rows; the same command continues a stopped run.")
]
TablesOption = Annotated[Path, typer.Option(help="Folder of the public tables.")]
SizesOption = Annotated[str, typer.Option(help="Numbers of scored sub-networks to fit, comma-separated.")]
PredictorOption = Annotated[str, typer.Option(help="Only these predictors, comma-separated; none: all.")]
SeedsOption = Annotated[int, typer.Option(min=1, help="Draws of samples and labels.")]
QuickOption = Annotated[bool, typer.Option("--quick", help="Under a minute: a small part of everything.")]


def predictors(
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
    chosen_predictors = [_build(name) for name in _names(predictor, quick=quick)]
    rows: list[BenchRow] = []
    for each in chosen:
        sizes = [100 if 100 in each.sizes else each.sizes[0]] if quick else each.sizes
        limit = 1 if quick else len(each.truth)
        found = bench_predictors(
            each, chosen_predictors, seeds=1 if quick else seeds, sizes=sizes, supernets=limit, order=OrderConfig()
        )
        for row in found:
            rows.append(row)
            typer.echo(f"{row.task} {row.predictor} n={row.n} seed={row.seed}: tau {row.tau:.3f}", err=True)
        write_json(json_out, [dataclasses.asdict(row) for row in rows])
    print_means([dataclasses.asdict(row) for row in rows])


def macro(
    json_out: JsonOption,
    tables: TablesOption = Path("../shared/data"),
    images: Annotated[Path, typer.Option(help="Folder of CIFAR-10.")] = Path("data"),
    work: Annotated[Path, typer.Option(help="Receives a folder SAMPLER-seedN for each super-network.")] = Path(
        "runs/bench-macro"
    ),
    samplers: Annotated[str, typer.Option(help="uniform, fair, sandwich; comma-separated.")] = "uniform",
    supernet_seeds: Annotated[str, typer.Option(help="Seeds of the super-networks.")] = "0,1,2",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over 30,000 images; of fair: a third.")] = 20,
    resolution: Annotated[int, typer.Option(min=8, help="Side of the images, in pixels.")] = 16,
    sizes: SizesOption = "100,250,500,1000",
    predictor: PredictorOption = "",
    seeds: SeedsOption = 3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    quick: QuickOption = False,
) -> None:
    """Train super-networks of nas-bench-macro, score all 3,969 networks, fit everything, compare with the table.

    Hours with the defaults. Example: `archatlas bench macro --images data --work runs/macro --json macro.json`.
    """
    from archatlas.benchmarks.macro import bench_macro
    from archatlas.benchmarks.rows import RowFile
    from archatlas.benchmarks.supernets import SupernetsConfig
    from archatlas.cli.console import TerminalConsole
    from archatlas.config import HardwareConfig
    from archatlas.session import launch

    data: dict[str, Any] = {"name": "cifar10", "path": images, "resolution": resolution}
    given: dict[str, Any] = {"data": data | {"train_images": 30_000, "validation_images": 2_000}, "epochs": epochs}
    if quick:
        given = {
            "data": data | {"train_images": 256, "validation_images": 128},
            "epochs": 1,
            "evaluation": {"recalibration_images": 64},
            "unrecalibrated": 30,
        }
    names = samplers.split(",")[:1] if quick else samplers.split(",")
    file = RowFile(json_out)
    with TerminalConsole().monitor("bench macro", "unit") as monitor:
        bench_macro(
            tables,
            file,
            SupernetsConfig.model_validate(given),
            _plan(predictor, sizes, seeds, quick=quick),
            samplers=[_sampler(name) for name in names],
            supernet_seeds=_numbers(supernet_seeds)[: 1 if quick else None],
            work=work / "quick" if quick else work,
            fabric=launch(HardwareConfig(accelerator="auto", threads=threads)),
            monitor=monitor,
            networks=100 if quick else None,
        )
    print_means(file.rows)


def nb201(
    json_out: JsonOption,
    tables: TablesOption = Path("../shared/data"),
    sizes: SizesOption = "200,800",
    predictor: PredictorOption = "",
    seeds: SeedsOption = 3,
    quick: QuickOption = False,
) -> None:
    """Compare raw scores, fits and calibrated fits of five super-networks with the truth of NAS-Bench-201.

    Example: `archatlas bench nb201 --tables ../shared/data --json nb201.json`.
    """
    from archatlas.benchmarks.nb201 import bench_nb201
    from archatlas.benchmarks.rows import RowFile
    from archatlas.cli.console import TerminalConsole

    file, plan = RowFile(json_out), _plan(predictor, sizes, seeds, quick=quick)
    with TerminalConsole().monitor("bench nb201", "fit") as monitor:
        bench_nb201(tables, file, plan, supernets=1 if quick else None, monitor=monitor)
    print_means(file.rows)


def search(
    json_out: JsonOption,
    tables: TablesOption = Path("../shared/data"),
    searchers: Annotated[str, typer.Option(help="random, evolution, tpe, gp, gcn; comma-separated.")] = (
        "random,evolution,tpe,gp,gcn"
    ),
    samples: Annotated[int, typer.Option(min=20, help="One-shot scores that ours is given.")] = 800,
    evaluations: Annotated[int, typer.Option(min=20, help="One-shot evaluations of each search by segments.")] = 400,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each searcher.")] = 10,
    figure: Annotated[Path | None, typer.Option(help="HTML file for a drawing of the rows.")] = None,
    quick: QuickOption = False,
) -> None:
    """Compare what searchers find per stand-alone training, and searches per one-shot evaluation.

    Needs Optuna for tpe: pip install 'archatlas[bench]'. Example: `archatlas bench search --json search.json`.
    """
    from archatlas.benchmarks.rows import RowFile
    from archatlas.benchmarks.search import bench_search
    from archatlas.benchmarks.searchers import SEARCHERS
    from archatlas.benchmarks.segment_rows import bench_segments, modes
    from archatlas.benchmarks.tables import NB201_ONE_SHOT, macro_with_one_shot, one_shot_task
    from archatlas.cli.console import TerminalConsole

    names = [name.strip() for name in searchers.split(",") if name.strip() and not (quick and name == "gcn")]
    if unknown := [name for name in names if name not in SEARCHERS]:
        raise ConfigError(f"No searcher {', '.join(unknown)}; there are {', '.join(SEARCHERS)}.")
    macro_task = macro_with_one_shot(tables)
    tasks = [macro_task, one_shot_task(tables / NB201_ONE_SHOT, name="nb201_one_shot")]
    file = RowFile(json_out)
    with TerminalConsole().monitor("bench search", "run") as monitor:
        bench_search(
            tasks[:1] if quick else tasks,
            file,
            trainings=(5, 10, 20) if quick else (5, 10, 20, 50, 100),
            seeds=1 if quick else seeds,
            searchers=names,
            samples=200 if quick else samples,
            monitor=monitor,
        )
    compared = ["raw", "whole", "segments/keep=6/randomx2"] if quick else list(modes())
    bench_segments(macro_task, (4, 4), file, evaluations=evaluations, seeds=1 if quick else seeds, names=compared)
    print_means(file.rows)
    if figure is not None:
        from archatlas.files import write_text
        from archatlas.reporting.benchmark_figures import search_figure

        write_text(figure, search_figure(file.rows).to_html(include_plotlyjs=True))


def register(app: typer.Typer) -> None:
    """Add the benchmarks to the command line."""
    for command in (predictors, macro, nb201, search):
        app.command()(command)


def print_means(rows: Sequence[dict[str, Any]]) -> None:
    """Print mean and spread over seeds and super-networks of each task, sampler, predictor, n and trainings."""
    import numpy as np

    columns = ("tau", "tau_top_half", "tau_top10", "true_best", "true_top10_mean", "true_top100_mean", "true_rank")
    keys = ("task", "sampler", "predictor", "n", "trainings")
    typer.echo(
        " ".join(
            [
                f"{'task':20} {'sampler':8} {'predictor':36} {'n':>4} {'trainings':>9}",
                *(f"{name:>16}" for name in columns),
            ]
        )
    )
    for key in dict.fromkeys(tuple(row[name] for name in keys) for row in rows):
        same = [row for row in rows if tuple(row[name] for name in keys) == key]
        cells = []
        for name in columns:
            values = np.array([row.get(name, np.nan) for row in same], dtype=float)
            cells.append(f"{values.mean():9.3f} ±{values.std():5.3f}" if np.isfinite(values).all() else " " * 16)
        typer.echo(" ".join([f"{key[0]:20} {key[1] or '':8} {key[2]:36} {key[3]:4d} {key[4]:9d}", *cells]))


def _plan(wanted: str, sizes: str, seeds: int, *, quick: bool) -> Plan:
    from archatlas.benchmarks.supernet_rows import Plan
    from archatlas.predictors.window_gp import WindowGP

    names = _names(wanted or ("window_gp,ridge" if quick else ""), quick=quick)
    return Plan(
        predictors=tuple(_build(name) for name in names),
        calibrated=WindowGP(),
        sizes=(60,) if quick else tuple(_numbers(sizes)),
        seeds=1 if quick else seeds,
        trainings=(20,) if quick else (5, 10, 20, 50, 100),
    )


def _sampler(name: str) -> Any:
    from typing import get_args

    from archatlas.benchmarks.supernets import Sampler

    if name.strip() not in get_args(Sampler):
        raise ConfigError(f"No sampler {name.strip()!r}; there are {', '.join(get_args(Sampler))}.")
    return name.strip()


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"Expected whole numbers joined by commas, such as 100,500; got {text!r}.") from None


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
