"""The other figures of a report: curves, agreement, correlations, shares of operators. Style as `style.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from archatlas.predictors.report import Agreement, Point
from archatlas.predictors.targets import normal_scores
from archatlas.records import Architecture, Architectures, Floats
from archatlas.reporting.style import GREY, MEASURED, PREDICTED, STAND_ALONE, categories, plain, shorten, style
from archatlas.spaces import SpaceGraph


def curve_figure(history: Sequence[Mapping[str, float]], total_epochs: int, *, stand_alone: bool) -> go.Figure:
    """Draw the training loss over epochs.

    Args:
        history: One record per epoch, with `epoch` and `loss`.
        total_epochs: How far the axis reaches; epochs to come stay empty.
        stand_alone: Whether this is the chosen network's own training, or the super-network's.
    """
    figure = go.Figure()
    mark = STAND_ALONE if stand_alone else MEASURED
    figure.add_scatter(
        x=[record["epoch"] for record in history],
        y=[record["loss"] for record in history],
        mode="lines+markers" if len(history) <= 60 else "lines",
        line={"color": mark["color"], "width": 2},
        marker={**mark, "size": 6},
        hovertemplate="epoch %{x}<br>training loss %{y:.4f}<extra></extra>",
        name="stand-alone network" if stand_alone else "super-network",
    )
    range_x = [0, max(total_epochs, 1) * 1.02]
    return style(figure, x="epoch", y="training loss", height=300, xaxis_range=range_x, margin_t=20, showlegend=False)


def agreement_figure(points: Sequence[Point]) -> go.Figure:
    """Draw predicted against measured scores: filled marks were held out, open ones are from the fit."""
    figure = go.Figure()
    measured = normal_scores(np.array([point.measured for point in points]))
    low, high = float(measured.min()), float(measured.max())
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", line={"color": GREY, "dash": "dot", "width": 1}, name="perfect fit"
    )
    for held_out, name, marker in (
        (False, "seen by the fit", {"symbol": "circle-open", "size": 6, "color": GREY}),
        (True, "held out", {**PREDICTED, "size": 9, "line": {"width": 1, "color": "white"}}),
    ):
        rows = [i for i, point in enumerate(points) if point.held_out == held_out]
        figure.add_scatter(
            x=measured[rows],
            y=[points[i].predicted for i in rows],
            text=[f"{plain(points[i].architecture)}<br>measured {points[i].measured:.4f}" for i in rows],
            mode="markers",
            marker=marker,
            name=f"{name} ({len(rows):,})",
            hovertemplate="%{text}<br>as normal score %{x:.3f}<br>predicted %{y:.3f}<extra></extra>",
        )
    return style(figure, x="measured (normal score)", y="predicted (normal score)", height=480)


def correlation_figure(rows: Sequence[Agreement], trivial: Sequence[str]) -> go.Figure:
    """Draw Kendall's tau of each order with held-out measured scores; trivial scores are hatched."""
    names = [row.name for row in rows]
    figure = go.Figure(
        go.Bar(
            x=[row.tau for row in rows],
            y=list(range(len(rows))),
            orientation="h",
            marker={
                "color": [GREY if name in trivial else PREDICTED["color"] for name in names],
                "pattern": {"shape": ["/" if name in trivial else "" for name in names], "solidity": 0.3},
            },
            text=[f"{row.tau:.3f}" for row in rows],
            textposition="outside",
            cliponaxis=False,
            customdata=[plain(name) for name in names],
            hovertemplate="%{customdata}<br>tau %{x:.3f}<extra></extra>",
        )
    )
    low = min(0.0, *(row.tau for row in rows)) - 0.08
    return style(
        figure,
        x="Kendall's tau",
        y="",
        height=110 + 34 * len(rows),
        yaxis=categories([shorten(name) for name in names], from_top=True),
        xaxis_range=[low if low < -0.08 else 0, 1.08],
        margin_t=10,
    )


def operator_shares(best: Architectures, num_choices: Sequence[int]) -> list[Floats]:
    """Return for each block the share of every operator `(O_i,)` among architectures `(A, L)`."""
    columns = zip(best.T, num_choices, strict=True)
    return [np.bincount(column, minlength=count) / len(best) for column, count in columns]


def shares_figure(graph: SpaceGraph, shares: Sequence[Floats], chosen: Architecture | None = None) -> go.Figure:
    """Draw which operators the best networks take: a row per block, the share in words and as shade.

    Args:
        graph: The space.
        shares: Per block `(O_i,)`.
        chosen: A network whose operators get a star.
    """
    most = max(graph.num_choices)
    cells = np.full((len(shares), most), np.nan)
    words = np.full((len(shares), most), "", dtype=object)
    hovers = np.full((len(shares), most), "", dtype=object)
    for i, share in enumerate(shares):
        cells[i, : len(share)] = share
        words[i, : len(share)] = [f"{value:.0%}" for value in share]
        if chosen is not None:
            words[i, chosen[i]] += " ★"
        hovers[i, : len(share)] = [plain(graph.operator_name(i, o)) for o in range(len(share))]
    figure = go.Figure(
        go.Heatmap(
            z=cells,
            text=words,
            texttemplate="%{text}",
            customdata=hovers,
            hovertemplate="block %{y}: %{customdata}<br>%{text} of the best<extra></extra>",
            colorscale=[[0, "rgba(124,92,214,0.04)"], [1, "rgba(124,92,214,0.62)"]],
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    return style(
        figure,
        x="",
        y="block",
        height=130 + 28 * len(shares),
        xaxis={**categories([shorten(name, 18) for name in column_names(graph)]), "tickangle": -35},
        yaxis=categories([str(i) for i in range(len(shares))], from_top=True),
        margin_t=10,
    )


def column_names(graph: SpaceGraph) -> list[str]:
    """Return names for operator numbers: the operators' own where all blocks that have a number agree."""
    names = []
    for operator in range(max(graph.num_choices)):
        owners = [i for i, count in enumerate(graph.num_choices) if operator < count]
        distinct = {graph.operator_name(i, operator) for i in owners}
        names.append(distinct.pop() if len(distinct) == 1 else f"operator {operator}")
    return names
