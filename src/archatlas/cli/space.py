"""Questions about a space, before any run: `space check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from archatlas.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import; `--help` must not
    from archatlas.space_check import PartCheck
    from archatlas.spaces import ChainSpace

app = typer.Typer(help="Questions about a space.", no_args_is_help=True)


@app.callback()
def _space() -> None:
    """Questions about a space."""


@app.command()
def check(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="Your .py or .yaml file, or a built-in name.")],
    resolution: Annotated[int | None, typer.Option(min=1, help="Side of the images; default: the space's.")] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Of the images; default: the space's.")] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="Default: the space's.")] = None,
    export: Annotated[bool, typer.Option(help="Also trace and export; about a second per operator.")] = True,
) -> None:
    """Try every operator of every block: build, count, run forward and backward, trace, export to ONNX.

    What is wrong is named with its block and operator, with exit code 2. A file's code is run.
    Example: `archatlas space check my_space.py --resolution 64`.
    """
    from archatlas.cli.console import TerminalConsole
    from archatlas.space_check import check_space
    from archatlas.spaces.user import load_space

    named = load_space(space)
    asked = named.for_task(
        in_channels=channels or named.in_channels,
        num_classes=classes or named.num_classes,
        resolution=resolution or named.resolution,
    )
    with TerminalConsole().monitor("operators", "operator") as monitor:
        found = check_space(asked, export=export, monitor=monitor)
    _print_table(found)
    typer.echo(_summary(asked, found))
    wrong = [part for part in found if part.problem]
    if wrong:
        lines = "\n".join(f"  {_place(part)}: {part.problem}" for part in wrong)
        raise ConfigError(f"{len(wrong)} of {len(found)} parts of {space} do not work:\n{lines}")


def _place(part: PartCheck) -> str:
    return f"block {part.block}, {part.operator}" if part.operator else part.block


def _print_table(found: list[PartCheck]) -> None:
    from archatlas.space_check import format_shape

    rows = [["block", "operator", "input", "output", "macs", "params", ""]]
    for part in found:
        counted = [f"{value:,}" if value is not None else "-" for value in (part.macs, part.params)]
        output = format_shape(part.output) if part.output else "-"
        failed = part.problem.partition(":")[0] + " FAILED" if part.problem else "ok"
        rows.append([part.block, part.operator, format_shape(part.input), output, *counted, failed])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:4], widths[:4], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[4:6], widths[4:6], strict=True)]
        typer.echo("  ".join([*left, *right, row[6]]).rstrip())


def _summary(space: ChainSpace, found: list[PartCheck]) -> str:
    product = " x ".join(map(str, space.num_choices))
    text = f"{space.name}: {space.size:,} architectures ({product})"
    for cost in ("macs", "params"):
        values: dict[str, list[int]] = {}
        for part in found:
            values.setdefault(part.block, []).append(getattr(part, cost) or 0)
        if all(getattr(part, cost) is not None for part in found):
            text += f", {cost} {sum(map(min, values.values())):,} to {sum(map(max, values.values())):,}"
    return text
