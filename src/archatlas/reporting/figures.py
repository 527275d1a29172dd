"""Figures, as Plotly objects: no page, no file. Colours read on light and on dark ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from archatlas.atlas import Answer, Density
from archatlas.records import Floats, format_architecture

_GREY = "#8a8f98"  # text and axes: 3:1 and more on white and on near-black
_FRONT, _SAMPLES, _CHOSEN = "#e8590c", "#fab005", "#e64980"
_DENSITY_SCALE = [[0.0, "#c3d3ee"], [0.35, "#7c9fd8"], [0.7, "#4467b5"], [1.0, "#2a3d8f"]]
_MOST_SAMPLES = 2_000
_CELLS = (160, 160)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marks:
    """Networks to mark on the map, one entry each.

    Args:
        costs: `(A,)`.
        scores: `(A,)`.
        names: `A` texts shown on hover.
    """

    costs: Floats
    scores: Floats
    names: Sequence[str]


def map_figure(
    density: Density,
    front: Sequence[Answer] = (),
    *,
    samples: Marks | None = None,
    chosen: Marks | None = None,
    unit: str = "",
) -> go.Figure:
    """Draw the map: how many networks there are of each cost and score, with the front and what was looked at.

    Args:
        density: Every network of the space.
        front: The best networks by cost, from `Atlas.pareto`; those that the screen stopped are not drawn.
        samples: Networks that the super-network measured; at most 2,000 are drawn, evenly thinned.
        chosen: The network that was chosen.
        unit: Of the cost, such as `ms`.

    Returns:
        A figure of transparent ground, 7:5.
    """
    figure = go.Figure()
    costs, scores, counts = _cells(density)
    shown = np.where(counts > 0, np.log10(np.maximum(counts, 1.0)), np.nan)
    ticks = np.unique(np.linspace(0, np.nanmax(shown), 5).astype(int))
    figure.add_heatmap(
        x=costs,
        y=scores,
        z=shown.T,
        colorscale=_DENSITY_SCALE,
        zmin=0,
        colorbar={
            "title": {"text": "networks<br>per cell", "side": "top"},
            "tickvals": ticks,
            "ticktext": [_power(tick) for tick in ticks],
            "thickness": 12,
            "outlinewidth": 0,
            "len": 0.8,
        },
        customdata=counts.T,
        hovertemplate="%{customdata:,.3s} networks<br>cost %{x:.4s}<br>score %{y:.3f}<extra></extra>",
        name="all networks",
    )
    if samples is not None and len(samples.costs):
        kept = np.unique(np.linspace(0, len(samples.costs) - 1, min(len(samples.costs), _MOST_SAMPLES)).astype(int))
        thinned = Marks(costs=samples.costs[kept], scores=samples.scores[kept], names=[samples.names[i] for i in kept])
        marker = {"size": 4, "color": _SAMPLES, "opacity": 0.85}
        figure.add_scatter(**_points(thinned), marker=marker, name=f"measured ({len(samples.costs):,})")
    lowest = density.score.origin - density.score.error
    alive = [answer for answer in front if answer.score >= lowest]
    if alive:
        line = Marks(
            costs=np.array([answer.costs[density.cost.name] for answer in alive]),
            scores=np.array([answer.score for answer in alive]),
            names=[format_architecture(answer.architecture) for answer in alive],
        )
        style = {"color": _FRONT, "width": 2.5, "shape": "hv"}
        figure.add_scatter(**_points(line) | {"mode": "lines"}, line=style, name="best of each cost")
    if chosen is not None:
        star = {"size": 15, "symbol": "star", "color": _CHOSEN, "line": {"width": 1.5, "color": "white"}}
        figure.add_scatter(**_points(chosen), marker=star, name="chosen")
    _style(figure, density, unit)
    return figure


def _cells(density: Density) -> tuple[Floats, Floats, Floats]:
    """Return the centres of at most 160 x 160 cells that hold networks, and their counts as floating point."""
    counts = density.counts.astype(float)
    axes = []
    for axis, (bins, cells) in enumerate(zip((density.cost, density.score), _CELLS, strict=True)):
        held = np.flatnonzero(counts.sum(axis=1 - axis))
        first, last = int(held[0]), int(held[-1]) + 1
        step = -(-(last - first) // cells)
        counts = np.take(counts, range(first, last), axis=axis)
        counts = np.add.reduceat(counts, range(0, last - first, step), axis=axis)
        starts = np.arange(first, last, step)
        axes.append(bins.origin + bins.width * (starts + (step - 1) / 2))
    return np.asarray(axes[0], dtype=float), np.asarray(axes[1], dtype=float), np.asarray(counts, dtype=float)


def _points(marks: Marks) -> dict[str, object]:
    return {
        "x": marks.costs,
        "y": marks.scores,
        "mode": "markers",
        "text": list(marks.names),
        "hovertemplate": "%{text}<br>cost %{x:.4s}<br>score %{y:.3f}<extra></extra>",
    }


def _power(exponent: int) -> str:
    return {0: "1", 1: "10", 2: "100", 3: "1,000"}.get(exponent, f"10<sup>{exponent}</sup>")


def _style(figure: go.Figure, density: Density, unit: str) -> None:
    axis = {"gridcolor": "rgba(138,143,152,0.22)", "zeroline": False, "linecolor": _GREY, "ticks": "outside"}
    label = {"macs": "MACs", "params": "parameters", "latency_ms": "latency"}.get(density.cost.name, density.cost.name)
    figure.update_layout(
        title={"text": f"Every network of the space: {density.total:,} of them", "x": 0.02, "font": {"size": 16}},
        font={"color": _GREY, "family": "system-ui, sans-serif", "size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis={**axis, "title": f"{label} ({unit})" if unit else label, "tickformat": "~s"},
        yaxis={**axis, "title": "predicted score (higher is better)"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 65, "r": 20, "t": 85, "b": 55},
        width=840,
        height=600,
    )
