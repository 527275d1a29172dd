"""`archatlas explore`: the local page."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from archatlas.errors import ConfigError


def explore(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory, or that of `archatlas fit --table`.")],
    host: Annotated[str, typer.Option(help="Address to listen on; the default is reached from this machine alone.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any free port.")] = 8050,
) -> None:
    """Open a local page: move budgets, see the best network, the map and the front, compare, export.

    Needs the extra `ui`. Example: `archatlas explore runs/digits`.
    """
    if importlib.util.find_spec("dash") is None:
        raise ConfigError("The explorer needs the extra `ui`; install it with: pip install 'archatlas[ui]'")
    from archatlas.explorer import LOOPBACK, Explorer, build_app, load_knowledge, open_server

    explorer = Explorer(load_knowledge(run))
    server = open_server(build_app(explorer), host, port)
    if host not in LOOPBACK:
        typer.echo(f"warning: everybody who can reach {host} can use this page; it has no password", err=True)
    explorer.prepare(lambda line: typer.echo(line, err=True))
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"http://{shown}:{server.port}   (stop with Ctrl+C)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
    finally:
        server.server_close()


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(explore)
