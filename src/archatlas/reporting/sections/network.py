"""The chosen network, drawn block by block with what each block costs."""

from __future__ import annotations

from archatlas.records import Architecture, format_architecture
from archatlas.reporting.page import Cell, Link, Section, Table, Value
from archatlas.reporting.reading import RunFacts
from archatlas.reporting.sections.answer import continue_command, top_network
from archatlas.reporting.style import cost_label, format_cost
from archatlas.spaces import SpaceGraph


def network_section(facts: RunFacts) -> Section:
    """Draw the chosen network from input to output."""
    title = "The network, block by block"
    best = top_network(facts)
    if best is None or facts.graph is None:
        missing = "No network is chosen yet: the search is not done."
        return Section(name="network", title=title, missing=missing, commands=(continue_command(facts),))
    chain = network_links(facts.graph, best)
    costs = list(facts.graph.costs)
    rows: list[tuple[Value, ...]] = [
        (link.label, link.name, link.shape, *(Cell(text=value) for _, value, _ in link.bars)) for link in chain
    ]
    total = tuple(format_cost(facts.graph.costs[name].of(best)) for name in costs)
    table = Table(
        caption=f"Blocks of {format_architecture(best)}",
        header=("block", "operator", "shape", *map(cost_label, costs)),
        rows=(*rows, ("whole network", "", "", *total)),
        folded=True,
    )
    text = (
        f"{format_architecture(best)}, from input to output. Bars: share of the most expensive part. "
        "Costs are counted, not predicted, except a latency, which is a sum of measured operators.",
    )
    return Section(name="network", title=title, text=text, chain=chain, tables=(table,))


def network_links(graph: SpaceGraph, architecture: Architecture) -> tuple[Link, ...]:
    """Return the drawing of an architecture: what is fixed, then its blocks with their costs."""
    values = {name: [cost.terms.offset, *cost.terms.parts(architecture)] for name, cost in graph.costs.items()}
    bars = [
        tuple(
            (cost_label(name), format_cost(row[i]), max(0.0, row[i]) / (max(row) or 1.0))
            for name, row in values.items()
        )
        for i in range(len(architecture) + 1)
    ]
    fixed = Link(label="fixed", name="stem and head", shape="", bars=bars[0])
    blocks = [
        Link(
            label=f"block {i}",
            name=graph.operator_name(i, operator),
            shape=_shape(graph, i, operator),
            bars=bars[i + 1],
            idle=graph.no_ops[i][operator],
        )
        for i, operator in enumerate(architecture)
    ]
    return (fixed, *blocks)


def _shape(graph: SpaceGraph, block: int, operator: int) -> str:
    known = dict(zip(graph.attribute_names, graph.attributes[block][operator], strict=True))
    if not {"in_channels", "out_channels", "stride"} <= known.keys():
        return ""
    return f"{known['in_channels']:.0f} → {known['out_channels']:.0f} channels, stride {known['stride']:.0f}"
