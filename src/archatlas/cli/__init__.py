"""The `archatlas` command. Heavy imports wait until a command runs."""

from __future__ import annotations

import os
import shlex
import sys

import typer

from archatlas.cli import atlas, bench, calibrate, explore, export, latency, report, run, space
from archatlas.errors import ArchAtlasError
from archatlas.stopping import Stopped, signals_stop

app = typer.Typer(
    name="archatlas",
    help="Fit the search space of weight-sharing NAS once, then ask it anything.",
    epilog="Example: archatlas run   (embedded digits, minutes on two cores; the same command continues a stopped run)",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
run.register(app)
atlas.register(app)
calibrate.register(app)
export.register(app)
report.register(app)
explore.register(app)
latency.register(app)
app.add_typer(space.app, name="space")
benchmarks = typer.Typer(help="Benchmarks against public ground truth.", no_args_is_help=True)
bench.register(benchmarks)
app.add_typer(benchmarks, name="bench")


def main() -> None:
    """Run the command line; what the user can mend ends with one message and exit code 2.

    SIGTERM ends it with 143 and SIGINT with 130, after a checkpoint where a training was under way.
    """
    try:
        with signals_stop():
            app()
    except ArchAtlasError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except Stopped as stop:
        if int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0:  # of several processes, one speaks
            typer.echo(f"stopped; continue with: archatlas {shlex.join(sys.argv[1:])}", err=True)
        sys.exit(stop.exit_code)
