"""The page: what stands where. Every text reaches the browser as text, never as markup."""

from __future__ import annotations

import json
from typing import Any

from dash import dcc, html

from archatlas.explorer.charts import Charts
from archatlas.explorer.explorer import Explorer
from archatlas.explorer.parts import aria
from archatlas.explorer.quantities import Quantity

INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>archatlas explorer</title>
    {%favicon%}
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>
      {%config%}
      {%scripts%}
      {%renderer%}
    </footer>
  </body>
</html>
"""

CAUTION = (
    "Scores on this page are predicted from one-shot measurements unless a line says measured (one-shot) or "
    "stand-alone. A predicted score only orders networks; it is no accuracy."
)
_PLOT: Any = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d"]}


def layout(explorer: Explorer, charts: Charts, limits: dict[str, float]) -> html.Div:
    """Return the whole page.

    Args:
        explorer: What it asks.
        charts: Its figures.
        limits: The budgets that it starts with.
    """
    first = next(iter(explorer.quantities))
    return html.Div(
        [
            html.A("Skip to the network shown", href="#network-title", className="skip"),
            html.Header(
                [
                    html.H1(["Explore ", html.Span(explorer.atlas.graph.name)]),
                    html.P(f"{explorer.atlas.size:,} networks in {explorer.knowledge.path}"),
                    html.P(CAUTION, className="caution"),
                ]
            ),
            html.Main(
                [
                    html.Div([_budgets(explorer, limits), _answer()], className="column"),
                    html.Div(_charts(explorer, charts, first), className="column"),
                    _network(),
                    _comparison(),
                    _use(),
                ]
            ),
            *(dcc.Store(id=name) for name in ("asked", "shown", "A", "B")),
            dcc.Store(id="axis", data=first),
            dcc.Download(id="download"),
        ]
    )


def _budgets(explorer: Explorer, limits: dict[str, float]) -> html.Section:
    rows = [_budget(each, each.shown(limits.get(name))) for name, each in explorer.quantities.items()]
    note = html.P("The right end of a slider means no limit. Arrow keys move it by one step.", className="hint")
    return html.Section([html.H2("Budgets", id="budgets-title"), note, *rows], **aria(labelledby="budgets-title"))


def _budget(quantity: Quantity, position: float) -> html.Div:
    name = quantity.name
    slider, limit = {"kind": "slider", "cost": name}, {"kind": "limit", "cost": name}
    unit = f" ({quantity.unit})" if quantity.unit else ""
    text = f"{quantity.label} at most{unit}"
    return html.Div(
        [
            html.Label(text, htmlFor=element(slider)),
            html.Div(
                [
                    dcc.Input(
                        id=slider,
                        type="range",
                        min=quantity.low,
                        max=quantity.high,
                        step=quantity.step,
                        value=position,
                    ),
                    html.Label(f"{text}, as a number", htmlFor=element(limit), className="hidden"),
                    dcc.Input(id=limit, type="number", step="any", value=position, debounce=0.4),
                ],
                className="setting",
            ),
            html.Div(
                [html.Span(f"{quantity.low:,.12g}"), html.Span(f"{quantity.high:,.12g}: no limit")],
                className="ends",
                **aria(hidden="true"),
            ),
        ],
        className="budget",
    )


def element(identity: dict[str, str]) -> str:
    """Return the id that Dash gives to the element of a component that is named by a dictionary."""
    return json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _answer() -> html.Section:
    return html.Section(
        [
            html.H2("Best network", id="answer-title"),
            html.P(id="answer", role="status", **aria(live="polite")),
            html.Div(id="answer-facts"),
            html.Div(id="best"),
        ],
        **aria(labelledby="answer-title"),
    )


def _charts(explorer: Explorer, charts: Charts, cost: str) -> list[Any]:
    drawn, front = charts.draw(cost, {})
    buttons = [
        html.Button(
            each.label,
            id={"kind": "axis", "cost": name},
            type="button",
            **aria(pressed="true" if name == cost else "false"),
        )
        for name, each in explorer.quantities.items()
    ]
    return [
        html.Section(
            [
                html.H2("Map", id="map-title"),
                html.Div(
                    [html.Span("Drawn by ", id="axis-label"), *buttons],
                    className="row",
                    role="group",
                    **aria(labelledby="axis-label"),
                ),
                html.P(
                    "Click a mark to see its network, any other place to set the budget there. "
                    "Keyboard: use the sliders, the tables and the field below.",
                    className="hint",
                ),
                _figure("map", drawn, "Every network by cost and predicted score"),
            ],
            **aria(labelledby="map-title"),
        ),
        html.Section(
            [
                html.H2("Front", id="front-title"),
                _figure("front", front, "The best network of each cost, by predicted score"),
                html.Details([html.Summary("The front as a table"), html.Div(id="front-table")]),
            ],
            **aria(labelledby="front-title"),
        ),
    ]


def _figure(name: str, figure: Any, caption: str) -> html.Figure:
    drawn = dcc.Graph(id=name, figure=figure, config=_PLOT, responsive=True)
    return html.Figure(
        [html.Div(drawn, className=f"chart {name}", role="group", **aria(label=caption)), html.Figcaption(caption)]
    )


def _network() -> html.Section:
    return html.Section(
        [
            html.H2("Network shown", id="network-title", tabIndex="-1"),
            html.Div(
                [
                    html.Label("Show the network", htmlFor="typed"),
                    dcc.Input(id="typed", type="text", debounce=True, placeholder="one operator per block"),
                    html.Button("Show", id="show-typed", type="button"),
                    html.Span(id="typed-problem", role="alert", className="problem"),
                ],
                className="row",
            ),
            html.Div(id="network", **aria(live="off")),
            html.Div(
                [
                    html.Button("Keep as A", id="pin-A", type="button"),
                    html.Button("Keep as B", id="pin-B", type="button"),
                    html.Button("Clear A and B", id="unpin", type="button"),
                ],
                className="row",
            ),
        ],
        className="wide",
        **aria(labelledby="network-title"),
    )


def _comparison() -> html.Section:
    return html.Section(
        [
            html.H2("Compare", id="comparison-title"),
            html.P(id="difference", role="status", **aria(live="polite")),
            html.Div(id="comparison"),
        ],
        className="wide",
        **aria(labelledby="comparison-title"),
    )


def _use() -> html.Section:
    return html.Section(
        [
            html.H2("Use it", id="use-title"),
            html.Button("Download settings", id="export", type="button", disabled=True),
            html.Div(id="use"),
            html.P(id="copy-note", role="status", className="hint"),
        ],
        className="wide",
        **aria(labelledby="use-title"),
    )
