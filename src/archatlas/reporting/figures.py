"""The map of a space, as a Plotly object: no page, no file. It reads on light and on dark ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from archatlas.atlas import Answer, Density
from archatlas.records import Floats, format_architecture
from archatlas.reporting.style import CHOSEN, FRONT, MEASURED, cost_label, plain, style

_ON_DENSITY = {"color": "#fcc419", "line": {"width": 0.7, "color": "#3b2f00"}, "symbol": MEASURED["symbol"]}
_DENSITY_SCALE = [[0.0, "#c3d3ee"], [0.35, "#7c9fd8"], [0.7, "#4467b5"], [1.0, "#2a3d8f"]]
_MOST_SAMPLES = 2_000
_MOST_CELLS = 160


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
        samples: Networks that the super-network measured, at their predicted scores; those that the screen stopped
            are not drawn, and at most 2,000 are, evenly thinned.
        chosen: The network that was chosen.
        unit: Of the cost, such as `ms`.

    Returns:
        A figure of transparent ground, without title or width.
    """
    figure = go.Figure()
    costs, scores, counts = _cells(density)
    shown = np.where(counts > 0, np.log10(np.maximum(counts, 1.0)), np.nan)
    ticks = _ticks(counts.max())
    figure.add_heatmap(
        x=costs,
        y=scores,
        z=shown.T,
        colorscale=_DENSITY_SCALE,
        zmin=0,
        colorbar={
            "title": {"text": "networks per cell", "side": "top"},
            "tickvals": np.log10(ticks),
            "ticktext": [_amount(tick) for tick in ticks],
            "orientation": "h",
            "thickness": 10,
            "outlinewidth": 0,
            "x": 0.5,
            "y": -0.19,
            "yanchor": "top",
        },
        customdata=counts.T,
        hovertemplate="%{customdata:,.3s} networks<br>cost %{x:.4s}<br>score %{y:.3f}<extra></extra>",
        name="all networks",
    )
    lowest = density.score.origin - density.score.error
    if samples is not None and len(samples.costs):
        drawn = np.flatnonzero(samples.scores >= lowest)
        kept = drawn[np.unique(np.linspace(0, len(drawn) - 1, min(len(drawn), _MOST_SAMPLES)).astype(int))]
        thinned = Marks(costs=samples.costs[kept], scores=samples.scores[kept], names=[samples.names[i] for i in kept])
        marker = _ON_DENSITY | {"size": 5}
        name = f"measured networks ({_shown(len(drawn), len(samples.costs))})"
        figure.add_scatter(**_points(thinned), marker=marker, name=name)
    alive = [answer for answer in front if answer.score >= lowest]
    if alive:
        line = Marks(
            costs=np.array([answer.costs[density.cost.name] for answer in alive]),
            scores=np.array([answer.score for answer in alive]),
            names=[format_architecture(answer.architecture) for answer in alive],
        )
        steps = {"color": FRONT, "width": 2.5, "shape": "hv"}
        figure.add_scatter(**_points(line) | {"mode": "lines"}, line=steps, name="front: predicted best of each cost")
    if chosen is not None:
        figure.add_scatter(**_points(chosen), marker=CHOSEN, name="chosen network")
    label = cost_label(density.cost.name)
    style(
        figure,
        x=f"{label} ({unit})" if unit else label,
        y="predicted score (higher is better)",
        height=600,
        xaxis_tickformat="~s",
        margin={"l": 55, "r": 15, "t": 85, "b": 140},
    )
    return figure


def _cells(density: Density) -> tuple[Floats, Floats, Floats]:
    """Return the centres of at most 160 x 160 cells that hold networks, and their counts as floating point.

    Of small spaces cells are so large that a cell is seen even where it holds one network.
    """
    counts = density.counts.astype(float)
    cells = int(min(_MOST_CELLS, max(24, 2 * counts.sum() ** 0.5)))
    axes = []
    for axis, bins in enumerate((density.cost, density.score)):
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
        "text": [plain(name) for name in marks.names],
        "hovertemplate": "%{text}<br>cost %{x:.4s}<br>score %{y:.3f}<extra></extra>",
    }


def _shown(drawn: int, measured: int) -> str:
    return f"{measured:,}" if drawn == measured else f"{drawn:,} of {measured:,} shown"


def _ticks(most: float) -> list[float]:
    """Return round numbers from 1 to the largest count: 1, 2, 5, 10 ... or a few powers of ten."""
    if most < 1_000:
        return [tick for tick in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0) if tick <= most]
    return [10.0**exponent for exponent in np.unique(np.linspace(0, int(np.log10(most)), 5).astype(int))]


def _amount(count: float) -> str:
    return f"{count:,.0f}" if count < 10_000 else f"10<sup>{np.log10(count):.0f}</sup>"
