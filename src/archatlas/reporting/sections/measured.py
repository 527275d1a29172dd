"""What the super-network measured: every score that it gave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from archatlas.records import Evaluation, as_array, format_architecture
from archatlas.reporting.page import Cell, Picture, Section, Table, command
from archatlas.reporting.reading import RunFacts
from archatlas.reporting.sections.answer import continue_command
from archatlas.reporting.style import CHOSEN, GREY, MEASURED, cost_label, plain, style
from archatlas.spaces import SpaceGraph


def measured_section(facts: RunFacts) -> Section:
    """Draw one-shot accuracy against cost; tell how many networks were scored."""
    title = "What the super-network measured"
    if not facts.evaluations:
        missing = "No sub-network is scored yet" + (
            "." if "train" in facts.done else ": the super-network is not trained."
        )
        commands = [continue_command(facts)]
        if "train" in facts.done:
            commands.append(command("Score a sample", "evaluate", facts.path, "--count", "100"))
        return Section(name="measured", title=title, missing=missing, commands=tuple(commands))
    images = facts.evaluations[0].num_images
    listed = sum(format_architecture(e.architecture) in facts.shortlisted for e in facts.evaluations)
    text = (
        f"{len(facts.evaluations):,} sub-networks were scored with the weights of the super-network on {images:,} "
        f"validation images; {listed:,} of them were short-listed for their predicted score and stay out of the fit.",
    )
    missing = "" if "search" in facts.done else "The search is not done; these are the scores so far."
    return Section(
        name="measured",
        title=title,
        text=text,
        missing=missing,
        pictures=(_picture(facts, facts.graph),) if facts.graph is not None else (),
        tables=(_best(facts.evaluations),),
        commands=() if "search" in facts.done else (continue_command(facts),),
        notes=(
            "A one-shot accuracy is that of shared weights. It is mostly lower than the accuracy of the same network "
            "trained on its own, and the order of networks by it differs from the true one.",
        ),
    )


def _best(evaluations: Sequence[Evaluation]) -> Table:
    best = sorted(evaluations, key=lambda e: e.loss)[:10]
    rows = tuple(
        (
            format_architecture(e.architecture),
            Cell(text=f"{e.accuracy:.2%}", mark="measured"),
            Cell(text=f"{e.loss:.4f}", mark="measured"),
        )
        for e in best
    )
    header = ("network", "one-shot accuracy", "one-shot loss")
    return Table(caption=f"The {len(rows)} with the lowest measured loss", header=header, rows=rows, folded=True)


def _picture(facts: RunFacts, graph: SpaceGraph) -> Picture:
    cost = next(iter(facts.settings.get("budgets", {})), next(iter(graph.costs)))
    rows = as_array([e.architecture for e in facts.evaluations])
    costs, accuracies = graph.costs[cost](rows), np.array([e.accuracy for e in facts.evaluations])
    names = [format_architecture(e.architecture) for e in facts.evaluations]
    listed = np.array([name in facts.shortlisted for name in names])
    figure = go.Figure()
    for chosen, label, marker in (
        (~listed, "samples of the design", {**MEASURED, "size": 7}),
        (
            listed,
            "short-listed",
            {"symbol": "circle-open", "size": 8, "color": MEASURED["color"], "line": {"width": 2}},
        ),
    ):
        figure.add_scatter(
            x=costs[chosen],
            y=accuracies[chosen],
            text=[plain(name) for name, keep in zip(names, chosen, strict=True) if keep],
            mode="markers",
            marker=marker,
            name=f"{label} ({int(chosen.sum()):,})",
            hovertemplate="%{text}<br>cost %{x:.4s}<br>one-shot accuracy %{y:.2%}<extra></extra>",
        )
    winner = facts.winner
    if winner is not None and format_architecture(winner) in names:
        row = names.index(format_architecture(winner))
        figure.add_scatter(x=[costs[row]], y=[accuracies[row]], mode="markers", marker=CHOSEN, name="chosen network")
    figure.add_hline(y=float(np.median(accuracies)), line={"color": GREY, "dash": "dot", "width": 1})
    style(figure, x=cost_label(cost), y="one-shot accuracy", height=420, xaxis_tickformat="~s", yaxis_tickformat=".1%")
    alt = (
        f"One-shot accuracy of {len(names):,} sub-networks against {cost_label(cost)}: from {accuracies.min():.2%} to "
        f"{accuracies.max():.2%}, median {np.median(accuracies):.2%} (dotted line)."
    )
    return Picture(name="measured-map", figure=figure, title="Measured, one-shot", alt=alt, caption=alt)
