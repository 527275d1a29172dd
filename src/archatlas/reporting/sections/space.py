"""The space as the atlas sees it: its map, and what its best networks are made of."""

from __future__ import annotations

import numpy as np

from archatlas.atlas import EnumeratedAtlas, FactoredAtlas
from archatlas.errors import InfeasibleBudgetError
from archatlas.records import Budget, as_array, format_architecture, parse_architecture
from archatlas.reporting.charts import operator_shares, shares_figure
from archatlas.reporting.figures import Marks, map_figure
from archatlas.reporting.page import Command, Picture, Section, Table, command
from archatlas.reporting.reading import RunFacts
from archatlas.reporting.sections.answer import continue_command, top_network
from archatlas.reporting.style import cost_label, format_cost

_BEST = 1_000
_LEVELS = 128


def map_section(facts: RunFacts) -> Section:
    """Draw the density of the space with front, measured networks and the chosen one, for every cost."""
    title = "The map of the space"
    if facts.atlas is None:
        return _missing(facts, "map", title)
    size = f"{facts.atlas.size:,}"
    return Section(
        name="map",
        title=title,
        text=(
            f"Every one of the {size} networks is counted, none is sampled. The height of a network is its predicted "
            "score, also of those that were measured: the map shows what the fit believes, not what is true.",
        ),
        pictures=tuple(_map(facts, facts.atlas, cost) for cost in facts.atlas.cost_names),
        commands=tuple(
            command(f"The front over {cost_label(cost)}", "pareto", facts.path, "--cost", cost)
            for cost in facts.atlas.cost_names
        ),
    )


def _map(facts: RunFacts, atlas: FactoredAtlas | EnumeratedAtlas, cost: str) -> Picture:
    front = atlas.pareto(cost, _LEVELS)
    samples = sorted({point.architecture for point in facts.fit.points} if facts.fit is not None else set())
    best = top_network(facts)
    figure = map_figure(
        atlas.density(cost),
        front,
        samples=_marks(atlas, cost, samples) if samples else None,
        chosen=_marks(atlas, cost, [format_architecture(best)]) if best is not None else None,
    )
    low, high = (format_cost(answer.costs[cost]) for answer in (front[0], front[-1]))
    alt = (
        f"Map of {atlas.size:,} networks by {cost_label(cost)} and predicted score. The front has {len(front)} "
        f"networks, from {low} to {high} {cost_label(cost)}; those that the screen stopped lie below the map, measured "
        "ones too."
    )
    rows = tuple(
        (format_architecture(answer.architecture), format_cost(answer.costs[cost]), f"{answer.score:.3f}")
        for answer in front
    )
    header = ("network", cost_label(cost), "predicted score")
    table = Table(caption=f"The front over {cost_label(cost)}, cheapest first", header=header, rows=rows, folded=True)
    return Picture(
        name=f"map-{list(atlas.cost_names).index(cost)}",
        figure=figure,
        title=f"Predicted score against {cost_label(cost)}",
        alt=alt,
        caption=alt,
        table=table,
    )


def _marks(atlas: FactoredAtlas | EnumeratedAtlas, cost: str, names: list[str]) -> Marks:
    rows = as_array([parse_architecture(name) for name in names])
    return Marks(costs=atlas.costs(rows)[cost], scores=atlas.score(rows), names=names)


def operators_section(facts: RunFacts) -> Section:
    """Draw which operators the best networks take, block by block."""
    title = "What the best networks are made of"
    if facts.atlas is None:
        return _missing(facts, "operators", title)
    graph = facts.atlas.graph
    limits = [Budget(cost=name, upper=float(upper)) for name, upper in facts.settings.get("budgets", {}).items()]
    count = min(_BEST, max(10, facts.atlas.size // 20))
    try:
        best = as_array([architecture for architecture, _ in facts.atlas.top(count, limits)])
    except InfeasibleBudgetError as error:
        return Section(name="operators", title=title, missing=str(error))
    shares = operator_shares(best, graph.num_choices)
    which = f"{len(best):,} networks of the highest predicted order" + (" within the budgets" if limits else "")
    settled = [i for i, share in enumerate(shares) if share.max() >= 0.9]
    alt = f"Share of each operator in each block among the {which}. "
    alt += f"{len(settled)} of {len(shares)} blocks take one operator in at least 90 % of them. "
    alt += "A star marks the operators of the chosen network."
    rows = tuple(
        (
            f"block {i}",
            ", ".join(
                f"{graph.operator_name(i, int(o))} {share[o]:.0%}"
                for o in np.argsort(-share, kind="stable")
                if share[o] > 0
            ),
        )
        for i, share in enumerate(shares)
    )
    picture = Picture(
        name="operators-figure",
        figure=shares_figure(graph, shares, top_network(facts)),
        title=f"Operators of the {which}",
        alt=alt,
        caption=alt,
        table=Table(
            caption="Operators by block, most frequent first", header=("block", "operators"), rows=rows, folded=True
        ),
    )
    return Section(name="operators", title=title, pictures=(picture,))


def _missing(facts: RunFacts, name: str, title: str) -> Section:
    if "fit" in facts.done:
        missing = (
            "This predictor has no windows and the space is too large to list, so there is no atlas. Use the "
            "predictor window_gcn or ridge."
        )
        return Section(name=name, title=title, missing=missing)
    commands: list[Command] = [continue_command(facts)]
    if "search" in facts.done:
        commands.append(command("Fit what is scored", "fit", facts.path))
    return Section(
        name=name, title=title, missing="There is no atlas yet: nothing is fitted.", commands=tuple(commands)
    )
