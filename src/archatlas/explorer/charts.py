"""The two figures of the page: the map of all networks, and the front."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import plotly.graph_objects as go
from dash import Patch

from archatlas.explorer.explorer import Explorer
from archatlas.records import Architecture, as_array, format_architecture, parse_architecture
from archatlas.reporting.figures import Marks, map_figure
from archatlas.reporting.style import FRONT, style

_HOVER = "%{text}<br>cost %{x:.4s}<br>predicted score %{y:.3f}<extra></extra>"
_COLOUR_BAR = {
    "orientation": "h",
    "y": -0.2,
    "yanchor": "top",
    "len": 0.9,
    "title": {"text": "networks per cell", "side": "bottom"},
}
_MARK = {
    "ax": 0,
    "arrowcolor": "#c2255c",
    "arrowhead": 6,
    "arrowwidth": 2,
    "bgcolor": "#a61e4d",
    "borderpad": 3,
    "font": {"color": "white", "size": 12},
}

Named = Mapping[str, Architecture]
"""Networks to mark: `shown`, `A`, `B`; those that are not there are missing."""


class Charts:
    """The figures of one atlas, drawn once per cost.

    Args:
        explorer: What they show.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self._drawn: dict[str, tuple[go.Figure, go.Figure]] = {}

    def draw(self, cost: str, named: Named) -> tuple[go.Figure, go.Figure]:
        """Return map and front by a cost, with marks on the named networks."""
        marks = _marks(self.explorer, cost, named)
        first, second = (go.Figure(figure).update_layout(annotations=marks) for figure in self._bases(cost))
        return first, second

    def moved(self, cost: str, named: Named) -> tuple[Patch, Patch]:
        """Return the changes of map and front that move their marks: the networks themselves are not drawn anew."""
        patches = (Patch(), Patch())
        for patch in patches:
            patch["layout"]["annotations"] = _marks(self.explorer, cost, named)
        return patches

    def _bases(self, cost: str) -> tuple[go.Figure, go.Figure]:
        if cost not in self._drawn:
            self._drawn[cost] = (_map(self.explorer, cost), _front(self.explorer, cost))
        return self._drawn[cost]


def _map(explorer: Explorer, cost: str) -> go.Figure:
    """Draw every network by a cost and the predicted score, the front, and what was measured."""
    figure = map_figure(explorer.density(cost), explorer.front(cost), samples=_samples(explorer, cost))
    for trace in figure.select_traces({"type": "scatter"}):
        trace.customdata = trace.text
    if explorer.knowledge.measured:
        name = f"measured, one-shot ({len(explorer.knowledge.measured):,}), at their predicted score"
        figure.update_traces(name=name, selector={"mode": "markers"})
    figure.update_traces(colorbar=_COLOUR_BAR, selector={"type": "heatmap"})
    figure.update_traces(
        mode="lines+markers", name="best of each cost (predicted)", marker={"size": 6}, selector={"mode": "lines"}
    )
    return _finished(figure, explorer, cost)


def _front(explorer: Explorer, cost: str) -> go.Figure:
    """Draw the best network of each cost level."""
    answers = [answer for answer in explorer.front(cost) if not explorer.screened(answer.architecture)]
    names = [format_architecture(answer.architecture) for answer in answers]
    figure = go.Figure()
    figure.add_scatter(
        x=[answer.costs[cost] for answer in answers],
        y=[answer.score for answer in answers],
        mode="lines+markers",
        line={"shape": "hv", "color": FRONT, "width": 2},
        marker={"size": 9},
        text=names,
        customdata=names,
        hovertemplate=_HOVER,
        name="best of each cost (predicted)",
    )
    style(figure, x="", y="", xaxis_tickformat="~s")
    return _finished(figure, explorer, cost)


def picked(click: Mapping[str, Any]) -> Architecture | float:
    """Return what was clicked: a network, or the cost of an empty place of the map."""
    point = click["points"][0]
    text = point.get("customdata")
    return parse_architecture(text) if isinstance(text, str) else float(point["x"])


def _samples(explorer: Explorer, cost: str) -> Marks | None:
    measured = list(explorer.knowledge.measured)
    if not measured:
        return None
    costs = explorer.atlas.costs(as_array(measured))[cost]
    return Marks(costs=costs, scores=explorer.heights(measured), names=[format_architecture(a) for a in measured])


def _finished(figure: go.Figure, explorer: Explorer, cost: str) -> go.Figure:
    """Fit a figure into the page."""
    shown = explorer.quantities[cost]
    title = f"{shown.label} ({shown.unit})" if shown.scale == 1 and shown.unit else shown.label
    figure.update_layout(
        title=None,
        width=None,
        height=None,
        autosize=True,
        margin={"l": 60, "r": 36, "t": 50, "b": 50},
        showlegend=True,
        legend={"orientation": "h", "y": 1.01, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        clickmode="event",
        uirevision=cost,
    )
    figure.update_xaxes(title=escape(title))
    figure.update_yaxes(title="predicted score (higher is better)")
    return figure


def _marks(explorer: Explorer, cost: str, named: Named) -> list[dict[str, Any]]:
    """Return a label with an arrow for each named network; a network of several names gets one label."""
    labels: dict[Architecture, list[str]] = {}
    for name, architecture in named.items():
        labels.setdefault(architecture, []).append(name)
    if not labels:
        return []
    costs = explorer.atlas.costs(as_array(list(labels)))[cost]
    heights = explorer.heights(list(labels))
    return [
        {
            **_MARK,
            "x": float(x),
            "y": float(y),
            "text": ", ".join(names),
            "ay": -34 if "shown" in names else 34,  # a pinned network close by stays readable
        }
        for names, x, y in zip(labels.values(), costs, heights, strict=True)
    ]
