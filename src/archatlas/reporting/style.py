"""How figures look and what numbers are called, the same in the report, on the map and in the explorer.

What was measured, what is predicted and what was trained stand-alone differ in word, colour and shape of the mark,
never in colour alone. Colours have a contrast of 3:1 and more on white and on near-black.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

GREY = "#8a8f98"
GRID = "rgba(138,143,152,0.22)"
FRONT = "#d9480f"

MEASURED = {"color": "#0b8793", "symbol": "circle"}
PREDICTED = {"color": "#7c5cd6", "symbol": "diamond"}
STAND_ALONE = {"color": "#d6336c", "symbol": "square"}
CHOSEN = {"color": "#e64980", "symbol": "star", "size": 15, "line": {"width": 1.5, "color": "white"}}

_COSTS = {"macs": "MACs", "params": "parameters", "latency_ms": "latency (ms)"}


def cost_label(name: str) -> str:
    """Return what people call a cost."""
    return _COSTS.get(name, name)


def format_cost(value: float) -> str:
    """Return a cost for reading: whole numbers from a hundred on, four digits below."""
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.4g}"


def plain(text: str) -> str:
    """Return text that Plotly shows letter by letter: its labels understand some HTML."""
    return html.escape(text, quote=False)


def shorten(text: str, length: int = 24) -> str:
    """Cut a label that would take the room of the figure."""
    return text if len(text) <= length else text[: length - 1] + "…"


def style(figure: go.Figure, *, x: str, y: str, height: int = 420, **layout: Any) -> go.Figure:
    """Give a figure its axes titles and the common looks; its width is that of the page.

    Args:
        figure: Changed in place.
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
        height: In pixels.
        layout: What differs.
    """
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GREY, "ticks": "outside", "automargin": True}
    figure.update_layout(
        font={"color": GREY, "family": "system-ui, sans-serif", "size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 55, "r": 15, "t": 50, "b": 50},
        height=height,
        template="none",
    )
    figure.update_xaxes(**axis, title={"text": x})
    figure.update_yaxes(**axis, title={"text": y})
    return figure.update_layout(**layout)


def categories(names: Sequence[str], *, from_top: bool = False) -> dict[str, Any]:
    """Return an axis of names that stay names, even those that look like numbers, dates or HTML."""
    order = {"autorange": "reversed"} if from_top else {}
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": [plain(name) for name in names]}
    return {"type": "linear", "showgrid": False, "ticks": "", **ticks, **order}
