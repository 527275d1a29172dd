"""Latency tables: `latency measure`, `import`, `predict`."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archatlas.errors import ConfigError

if TYPE_CHECKING:  # torch and onnxruntime take seconds to import; `--help` must not
    from archatlas.costs.latency import LatencyTable
    from archatlas.costs.timing import Backend
    from archatlas.costs.whole import Learn
    from archatlas.spaces import ChainSpace


class BackendName(StrEnum):
    """What runs the networks."""

    ONNX = "onnx"
    TORCH = "torch"


SpaceOption = Annotated[str, typer.Option(help="Built-in space, or your own .py or .yaml file.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Table to write (Parquet).")]
ResolutionOption = Annotated[int | None, typer.Option(min=1, help="Pixels; default: the space's own.")]
ChannelsOption = Annotated[int | None, typer.Option(min=1, help="Channels of the images; default: the space's own.")]
ClassesOption = Annotated[int | None, typer.Option(min=2, help="Classes of the task; default: the space's own.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Images in a pass.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of the random networks.")]
RadiusOption = Annotated[
    int, typer.Option(min=0, max=1, help="1: neighbouring operators may interact (whole networks only).")
]


def measure(
    space: SpaceOption,
    output: OutputOption,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, or an execution provider of ONNX Runtime such as OpenVINOExecutionProvider.")
    ] = "cpu",
    backend: Annotated[BackendName, typer.Option(help="ONNX Runtime, or eager torch.")] = BackendName.ONNX,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of a pass.")] = 1,
    batch: BatchOption = 1,
    resolution: ResolutionOption = None,
    channels: ChannelsOption = None,
    classes: ClassesOption = None,
    networks: Annotated[int, typer.Option(min=5, help="Whole networks that the model is fitted to.")] = 40,
    held_out: Annotated[int, typer.Option(min=5, help="Further ones that check it.")] = 50,
    chosen: Annotated[int, typer.Option(min=0, help="Further ones such as a search returns, for the margin.")] = 30,
    whole: Annotated[
        int | None, typer.Option(min=20, help="Time this many whole networks and no operators; a fifth is held out.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often everything is timed; the quickest counts.")] = 12,
    radius: RadiusOption = 0,
    seed: SeedOption = 0,
) -> None:
    """Measure the latency of a space on this device: every operator at its input shape, and whole networks.

    The same command continues a stopped measurement.
    Example: `archatlas latency measure --space mobile-cifar --device cpu --threads 1 --batch 1 -o cpu.parquet`.
    """
    from archatlas.cli.console import TerminalConsole
    from archatlas.costs.choices import choosing
    from archatlas.costs.jobs import Plan
    from archatlas.costs.measuring import conditions_of
    from archatlas.costs.measuring import measure as measure_space
    from archatlas.costs.parts import table_of_parts
    from archatlas.costs.whole import table_of_networks

    if output.exists():
        raise ConfigError(f"{output} exists already; name another file with --output, or delete it.")
    if whole is None and radius:
        raise ConfigError("--radius is a setting of what is learnt from whole networks; add --whole.")
    searched = _space(space, resolution, channels, classes)
    runs_on = _backend(backend, device, threads)
    plan = Plan(
        batch=batch,
        repeats=repeats,
        fitted=networks if whole is None else whole,
        held_out=held_out if whole is None else 0,
        chosen=chosen if whole is None else 0,
        parts=whole is None,
        seed=seed,
    )
    log = output.with_name(f"{output.name}.measuring.jsonl")
    conditions, date = conditions_of(searched, runs_on, batch), _now()
    console = TerminalConsole()
    with console.monitor(f"timing on {runs_on.device}, {runs_on.runtime}", "job") as monitor:
        choose = choosing(searched, conditions, plan) if plan.chosen else None
        rows = measure_space(searched, runs_on, plan, log, choose=choose, monitor=monitor)
    if whole is None:
        table = table_of_parts(searched, conditions, rows, date)
    else:
        table = table_of_networks(searched, _learn(searched, radius, seed), conditions, rows, date, seed=seed)
    table.save(output)
    log.unlink()
    _report(table, output)


def import_table(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="block,operator,latency_ms or architecture,latency_ms.")
    ],
    space: SpaceOption,
    output: OutputOption,
    device: Annotated[str, typer.Option(help="Name of the device.")],
    networks: Annotated[
        Path | None, typer.Option(help="CSV of whole networks that correct and check a table of operators.")
    ] = None,
    runtime: Annotated[str, typer.Option(help="Software that ran the networks.")] = "unknown",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of a pass; 0: unknown.")] = 0,
    batch: BatchOption = 1,
    resolution: ResolutionOption = None,
    channels: ChannelsOption = None,
    classes: ClassesOption = None,
    radius: RadiusOption = 0,
    seed: SeedOption = 0,
) -> None:
    """Read a table of another device: milliseconds of operators, or of whole networks.

    `block` is a number, `stem` or `head`; `operator` a name or a number.
    Example: `archatlas latency import phone.csv --space mobile-cifar --device "Pixel 3" -o phone.parquet`.
    """
    from archatlas.costs.importing import read_measurements
    from archatlas.costs.latency import Conditions
    from archatlas.costs.parts import check_on_half, table_of_parts
    from archatlas.costs.whole import table_of_networks

    if output.exists():
        raise ConfigError(f"{output} exists already; name another file with --output, or delete it.")
    chosen = _space(space, resolution, channels, classes)
    conditions = Conditions(
        device=device,
        runtime=runtime,
        threads=threads,
        batch=batch,
        resolution=chosen.resolution,
        space=chosen.name,
        digest=chosen.digest,
    )
    rows = read_measurements(file, chosen, conditions)
    if rows and rows[0].architecture:
        if networks is not None:
            raise ConfigError(f"{file} holds whole networks already; --networks goes with a table of operators.")
        table = table_of_networks(chosen, _learn(chosen, radius, seed), conditions, rows, _now(), seed=seed)
    else:
        if radius:
            raise ConfigError(f"{file} holds operators; --radius is a setting of what is learnt from whole networks.")
        whole = read_measurements(networks, chosen, conditions) if networks else ()
        table = table_of_parts(chosen, conditions, (*rows, *check_on_half(whole, seed)), _now())
    table.save(output)
    _report(table, output)


def predict(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="What `latency measure` or `import` wrote.")],
    architectures: Annotated[list[str], typer.Argument(help="Such as 22212220.")],
) -> None:
    """Print the predicted latency of networks as CSV.

    `upper_ms` is what 95 % of such networks stay below.
    Example: `archatlas latency predict cpu.parquet 22212220 00000000`.
    """
    from archatlas.costs.latency import load_latency
    from archatlas.records import format_architecture, parse_architecture
    from archatlas.spaces import check_operators

    loaded = load_latency(table)
    asked = [parse_architecture(text) for text in architectures]
    for architecture in asked:
        check_operators(loaded.conditions.space, loaded.cost.terms.num_choices, architecture)
    if loaded.warning:
        typer.echo(f"warning: {loaded.warning}", err=True)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("architecture", "latency_ms", "upper_ms"))
    for architecture in asked:
        ms = loaded.cost.of(architecture)
        writer.writerow((format_architecture(architecture), ms, ms * (1 + loaded.margin)))


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    commands = typer.Typer(help="What networks take on a device, in milliseconds.", no_args_is_help=True)
    commands.command("measure")(measure)
    commands.command("import")(import_table)
    commands.command("predict")(predict)
    app.add_typer(commands, name="latency")


def _space(name: str, resolution: int | None, channels: int | None, classes: int | None) -> ChainSpace:
    from archatlas.spaces.user import load_space

    space = load_space(name)
    return space.for_task(
        in_channels=channels or space.in_channels,
        num_classes=classes or space.num_classes,
        resolution=resolution or space.resolution,
    )


def _backend(name: BackendName, device: str, threads: int) -> Backend:
    if name is BackendName.ONNX:
        from archatlas.costs.timing_onnx import OnnxBackend

        return OnnxBackend(provider=device, threads=threads)
    from archatlas.costs.timing_torch import TorchBackend

    return TorchBackend(kind=device, threads=threads)


def _learn(space: ChainSpace, radius: int, seed: int) -> Learn:
    from functools import partial

    from archatlas.costs.macs import count_costs
    from archatlas.predictors.learned_cost import learn_cost
    from archatlas.spaces import chain_graph

    return partial(learn_cost, chain_graph(space, count_costs(space)), seed=seed, radius=radius)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _report(table: LatencyTable, path: Path) -> None:
    """Tell what was written and how far to trust it."""
    typer.echo(f"wrote {path}: {table.model}")
    typer.echo(f"{table.conditions.device}, {table.conditions.runtime}, {table.conditions.threads} threads")
    typer.echo(f"latency_ms from {table.cost.minimum:.4g} to {table.cost.maximum:.4g}")
    if table.agreement:
        typer.echo(str(table.agreement))
    if table.warning:
        typer.echo(f"warning: {table.warning}", err=True)
