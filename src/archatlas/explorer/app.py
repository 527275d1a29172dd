"""The Dash application: which function answers which part of the page, and the server."""

from __future__ import annotations

import functools
import socket
from pathlib import Path
from typing import Any

from dash import ALL, MATCH, ClientsideFunction, Dash, Input, Output, State, ctx, no_update
from flask import Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from archatlas.errors import ConfigError
from archatlas.explorer.desk import Desk, Kept, Shown, named
from archatlas.explorer.explorer import Explorer
from archatlas.explorer.page import INDEX, layout

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine reaches."""


def build_app(explorer: Explorer) -> Dash:
    """Return the application; its files and answers come from this process alone."""
    desk = Desk(explorer)
    app = Dash(
        __name__,
        assets_folder=str(Path(__file__).parent / "assets"),
        title="archatlas explorer",
        update_title="",
        serve_locally=True,
        index_string=INDEX,
        add_log_handler=False,
    )
    config = explorer.knowledge.config
    app.layout = functools.partial(layout, explorer, desk.charts, config.budgets if config is not None else {})
    _connect_budgets(app, desk)
    _connect_choice(app, desk)
    _connect_figures(app, desk)
    _connect_network(app, desk)
    policy = (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
        f"script-src 'self' {' '.join(app.csp_hashes())}; frame-ancestors 'none'"
    )

    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    app.server.after_request(protect)
    return app


def _connect_budgets(app: Dash, desk: Desk) -> None:
    slider, limit = {"kind": "slider", "cost": MATCH}, {"kind": "limit", "cost": MATCH}
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("explorer", "limit"),
        Output(slider, "value"),
        Output(limit, "value"),
        Input(slider, "value"),
        Input(limit, "value"),
        State(slider, "min"),
        State(slider, "max"),
    )
    app.callback(
        Output("answer", "children"),
        Output("answer-facts", "children"),
        Output("best", "children"),
        Output("asked", "data"),
        Output("shown", "data"),
        Input({"kind": "limit", "cost": ALL}, "value"),
    )(desk.answer)


def _connect_choice(app: Dash, desk: Desk) -> None:
    shown = Output("shown", "data", allow_duplicate=True)

    def show(clicks: list[int | None]) -> Any:
        if not any(clicks) or not ctx.triggered[0]["value"]:
            return no_update
        return desk.listed(ctx.triggered_id["network"], ctx.triggered_id["place"])

    app.callback(
        shown,
        Input({"kind": "show", "place": ALL, "network": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )(show)
    app.callback(
        shown,
        Output("typed-problem", "children"),
        Input("typed", "n_submit"),
        Input("show-typed", "n_clicks"),
        State("typed", "value"),
        prevent_initial_call=True,
    )(lambda _submits, _clicks, text: desk.typed(text))

    def click(on_map: dict[str, Any] | None, on_front: dict[str, Any] | None, cost: str) -> Any:
        return desk.clicked((on_map if ctx.triggered_id == "map" else on_front) or {}, cost)

    app.callback(
        shown,
        Output({"kind": "limit", "cost": ALL}, "value", allow_duplicate=True),
        Input("map", "clickData"),
        Input("front", "clickData"),
        State("axis", "data"),
        prevent_initial_call=True,
    )(click)
    for name in ("A", "B"):
        app.callback(
            Output(name, "data"),
            Input(f"pin-{name}", "n_clicks"),
            Input("unpin", "n_clicks"),
            State("shown", "data"),
            prevent_initial_call=True,
        )(_keep)


def _keep(_keeps: int | None, _clears: int | None, shown: Shown | None) -> Kept:
    return None if ctx.triggered_id == "unpin" or shown is None else shown["network"]


def _connect_figures(app: Dash, desk: Desk) -> None:
    marked = [State("shown", "data"), State("A", "data"), State("B", "data")]

    def draw(clicks: list[int | None], shown: Shown | None, first: Kept, second: Kept) -> Any:
        names = list(desk.explorer.quantities)
        cost = ctx.triggered_id["cost"] if any(clicks) else names[0]
        pressed = ["true" if name == cost else "false" for name in names]
        return cost, pressed, *desk.drawn(cost, named(shown, first, second))

    app.callback(
        Output("axis", "data"),
        Output({"kind": "axis", "cost": ALL}, "aria-pressed"),
        Output("map", "figure"),
        Output("front", "figure"),
        Output("front-table", "children"),
        Input({"kind": "axis", "cost": ALL}, "n_clicks"),
        *marked,
        prevent_initial_call=True,
    )(draw)
    app.callback(
        Output("map", "figure", allow_duplicate=True),
        Output("front", "figure", allow_duplicate=True),
        Input("shown", "data"),
        Input("A", "data"),
        Input("B", "data"),
        State("axis", "data"),
        prevent_initial_call=True,
    )(lambda shown, first, second, cost: desk.charts.moved(cost, named(shown, first, second)))


def _connect_network(app: Dash, desk: Desk) -> None:
    app.callback(
        Output("network", "children"),
        Output("use", "children"),
        Output("export", "disabled"),
        Input("shown", "data"),
        prevent_initial_call=True,
    )(desk.network)
    app.callback(
        Output("difference", "children"),
        Output("comparison", "children"),
        Input("A", "data"),
        Input("B", "data"),
    )(desk.comparison)

    def export(clicks: int | None, shown: Shown, asked: dict[str, float]) -> Any:
        return desk.exported(shown, asked) if clicks else no_update

    app.callback(
        Output("download", "data"),
        Input("export", "n_clicks"),
        State("shown", "data"),
        State("asked", "data"),
        prevent_initial_call=True,
    )(export)
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("explorer", "copy"),
        Output("copy-note", "children"),
        Input({"kind": "copy", "number": ALL}, "n_clicks"),
        State({"kind": "command", "number": ALL}, "children"),
        prevent_initial_call=True,
    )


class _Quiet(WSGIRequestHandler):
    """Does not print every request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing."""


def open_server(app: Dash, host: str, port: int) -> BaseWSGIServer:
    """Return a server that listens and has not begun to serve.

    On loopback it answers requests to loopback names alone, so that no page of the web can reach it through a name
    of its own.

    Args:
        app: From `build_app`.
        host: Address to listen on.
        port: 0 for any free one; `port` of the result tells which.

    Raises:
        ConfigError: If host or port cannot be used.
    """
    if host in LOOPBACK:
        app.server.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost", "[::1]"]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"Cannot listen on {host}, port {port} ({error}); name another with --host and --port, 0 for a free port."
        ) from None
    with listening:
        return make_server(host, port, app.server, threaded=True, request_handler=_Quiet, fd=listening.fileno())
