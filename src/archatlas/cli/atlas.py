"""Questions to the atlas of a run: `query`, `pareto`, `describe`, `costs`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archatlas.errors import ConfigError

if TYPE_CHECKING:  # numpy, pyarrow and duckdb take seconds to import; `--help` must not
    from archatlas.atlas import EnumeratedAtlas, FactoredAtlas, Percentile
    from archatlas.records import Architecture


class Format(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]
FormatOption = Annotated[Format, typer.Option("--format", help="json and csv hold full precision and nothing else.")]


def query(
    run: RunArgument,
    condition: Annotated[str, typer.Argument(help="Such as 'macs <= 60e6 and params < 2e6'; none: the best.")] = "",
    top: Annotated[int, typer.Option(min=1, help="How many networks.")] = 10,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show the best networks that fulfil a condition, proven best among all networks of the space.

    Up to 20 million architectures the condition is any SQL expression over the columns architecture, score and the
    costs; beyond, it is a list of budgets joined by `and`.
    Example: `archatlas query runs/digits "macs <= 1e6 and params < 40e3" --top 5 --format json`.
    """
    from archatlas.atlas import networks_table
    from archatlas.atlas.query import parse_budgets, query_networks
    from archatlas.records import as_array, format_architecture

    atlas = _load(run)
    table = networks_table(atlas, run / "atlas")
    if table is not None:
        _emit(query_networks(table, condition, top), format)
        return
    found = atlas.top(top, parse_budgets(condition))
    costs = atlas.costs(as_array([architecture for architecture, _ in found]))
    rows = [
        {
            "architecture": format_architecture(architecture),
            "score": score,
            **{name: float(values[i]) for name, values in costs.items()},
        }
        for i, (architecture, score) in enumerate(found)
    ]
    _emit(rows, format)


def pareto(
    run: RunArgument,
    cost: Annotated[str, typer.Option(help="The cost to trade against the score.")] = "macs",
    levels: Annotated[int, typer.Option(min=2, help="Even cost levels; each gets its best network.")] = 64,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show the best networks at every level of a cost, cheapest first, none dominated; `gap` 0 is proven best.

    Example: `archatlas pareto runs/digits --cost params`.
    """
    from archatlas.records import format_architecture

    rows = [
        {
            "architecture": format_architecture(answer.architecture),
            "score": answer.score,
            **answer.costs,
            "gap": answer.certificate.gap,
        }
        for answer in _load(run).pareto(cost, levels)
    ]
    _emit(rows, format)


def describe(
    run: RunArgument,
    architecture: Annotated[str, typer.Argument(metavar="ARCH", help="Such as 201120.")],
    format: FormatOption = Format.TABLE,
) -> None:
    """Show what is known of one network: score, spread, costs, its place in the space, its operators.

    Example: `archatlas describe runs/digits 201120`.
    """
    from archatlas.records import as_array, format_architecture, parse_architecture

    atlas = _load(run)
    asked = parse_architecture(architecture)
    atlas.graph.validate(asked)
    canonical: Architecture = tuple(map(int, atlas.graph.canonical(as_array([asked]))[0]))
    one = as_array([canonical])
    facts: dict[str, Any] = {"architecture": format_architecture(canonical), "score": float(atlas.score(one)[0])}
    if (run / "predictor").is_dir():
        from archatlas.predictors import load

        facts["std"] = float(load(run / "predictor", atlas.graph).predict(one).std[0])
    facts |= {name: float(values[0]) for name, values in atlas.costs(one).items()}
    facts["better"] = _share(atlas.percentile(canonical))
    for name in atlas.cost_names:
        facts[f"better at its {name}"] = _share(atlas.percentile(canonical, name))
    operators = [atlas.graph.operator_name(i, o) for i, o in enumerate(canonical)]
    if format is not Format.TABLE:
        _emit([facts | {"operators": operators if format is Format.JSON else " ".join(operators)}], format)
        return
    if canonical != asked:
        typer.echo(f"{architecture} is the same network as {facts['architecture']}")
    for name, value in facts.items():
        typer.echo(f"{name:<28}{_human(value)}")
    for block, operator in enumerate(operators):
        typer.echo(f"block {block:<22}{operator}")


def costs(
    run: RunArgument,
    budget: Annotated[list[str] | None, typer.Option(help="Such as macs=3e8; may be repeated.")] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show minimum, median and maximum of each cost over the space, and whether budgets can be met together.

    Example: `archatlas costs runs/digits --budget macs=1e6 --budget params=40e3`.
    """
    from archatlas.records import format_architecture

    atlas = _load(run)
    rows = [{"cost": s.name, "minimum": s.minimum, "median": s.median, "maximum": s.maximum} for s in atlas.summaries()]
    _emit(rows, format)
    if budget:
        best = atlas.best([_parse_budget(text) for text in budget])
        text = format_architecture(best.architecture)
        typer.echo(f"{' and '.join(budget)} can be met; the best network is {text}", err=format is not Format.TABLE)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (query, pareto, describe, costs):
        app.command()(command)


def _load(run: Path) -> FactoredAtlas | EnumeratedAtlas:
    from archatlas.atlas import load_atlas

    if not run.is_dir():
        raise ConfigError(f"{run} is no run directory.")
    return load_atlas(run / "atlas")


def _share(percentile: Percentile) -> dict[str, float]:
    return {"at least": percentile.lower, "at most": percentile.upper}


def _parse_budget(text: str) -> Any:
    from archatlas.records import Budget

    name, _, value = text.partition("=")
    try:
        return Budget(cost=name.strip(), upper=float(value))
    except ValueError:
        raise ConfigError(f"Expected a budget such as macs=3e8, got {text!r}.") from None


def _emit(rows: Sequence[Mapping[str, Any]], format: Format) -> None:
    """Print rows: a table for people, or JSON or CSV for programs."""
    if format is Format.JSON:
        typer.echo(json.dumps(list(rows), indent=2))
    elif format is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([list(rows[0]), *(list(row.values()) for row in rows)] if rows else [])
    elif not rows:
        typer.echo("no network fulfils the condition")
    elif sys.stdout.isatty():
        _draw(rows)
    else:
        cells = [list(rows[0]), *([_human(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            typer.echo("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _draw(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name in rows[0]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(_human(value) for value in row.values()))
    Console().print(table)


def _human(value: Any) -> str:
    """Return a value rounded for reading."""
    if isinstance(value, dict):
        low, high = value["at least"], value["at most"]
        return f"{low:.3%}" if low == high else f"{low:.3g} to {high:.3g} of the networks"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.4f}"
    return str(value)
