"""Figures of benchmark rows, as Plotly objects. Colours read on light and on dark ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

_GREY = "#8a8f98"
_COLOURS = ("#e8590c", "#8a8f98", "#4467b5", "#2f9e77", "#a05ab5", "#c29d0b")


def search_figure(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw the best true score found against the number of stand-alone trainings: one panel per table.

    Lines are means over runs, bands their standard deviation.

    Args:
        rows: With `task`, `predictor`, `trainings`, `true_best`; rows without trainings are left out.
    """
    shown = [row for row in rows if row["trainings"]]
    tasks, searchers = (list(dict.fromkeys(row[name] for row in shown)) for name in ("task", "predictor"))
    figure = make_subplots(rows=1, cols=len(tasks), subplot_titles=tasks)
    for column, task in enumerate(tasks, start=1):
        for number, searcher in enumerate(searchers):
            mine = [row for row in shown if (row["task"], row["predictor"]) == (task, searcher)]
            _add_curve(figure, mine, searcher, _COLOURS[number % len(_COLOURS)], column)
    ticks = sorted({row["trainings"] for row in shown})
    figure.update_xaxes(type="log", title="stand-alone trainings", color=_GREY, tickvals=ticks)
    figure.update_yaxes(color=_GREY)
    figure.update_yaxes(title="best true accuracy found, %", col=1)
    return figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font_color=_GREY,
        width=480 * len(tasks),
        height=420,
        legend_orientation="h",
        legend_y=-0.2,
    )


def _add_curve(figure: go.Figure, rows: Sequence[Mapping[str, Any]], name: str, colour: str, column: int) -> None:
    counts = sorted({row["trainings"] for row in rows})
    values = [np.array([row["true_best"] for row in rows if row["trainings"] == count]) for count in counts]
    mean, spread = (np.array([getattr(v, which)() for v in values]) for which in ("mean", "std"))
    band = {"x": [*counts, *counts[::-1]], "y": [*(mean + spread), *(mean - spread)[::-1]]}
    figure.add_scatter(
        **band,
        mode="lines",
        fill="toself",
        fillcolor=colour,
        opacity=0.15,
        line_width=0,
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=column,
    )
    figure.add_scatter(
        x=counts, y=mean, name=name, line_color=colour, mode="lines+markers", showlegend=column == 1, row=1, col=column
    )
