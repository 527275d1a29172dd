"""The parts of the page that change: facts, tables, the drawing of a network, what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from archatlas.atlas import Answer
from archatlas.explorer import sentences
from archatlas.explorer.explorer import BlockView, Explorer, NetworkView, Reply, differing
from archatlas.explorer.export import Command, file_name
from archatlas.explorer.quantities import Quantity
from archatlas.records import Architecture, format_architecture

Part = Any
"""A component of Dash, or text."""

Quantities = Mapping[str, Quantity]


def aria(**properties: str) -> dict[str, Any]:
    """Return properties for assistive technology, to be passed by name."""
    return {f"aria-{name}": value for name, value in properties.items()}


def answer_sentence(reply: Reply, quantities: Quantities) -> str:
    """Return the answer as one sentence, for the eye and for screen readers."""
    if reply.problem:
        return reply.problem
    best = reply.best[0]
    asked = sentences.budgets(reply.budgets, quantities)
    return f"The best network {asked} is {format_architecture(best.architecture)}, predicted score {best.score:.3f}."


def answer_facts(reply: Reply, view: NetworkView, quantities: Quantities) -> Part:
    """Return what is known of the best network, with its proof."""
    return _facts([*_predicted(view, quantities), ("Certificate", sentences.proof(reply))])


def best_table(reply: Reply, quantities: Quantities) -> Part:
    """Return the list of the best networks."""
    if not reply.best:
        return []
    all_proven = reply.proven == len(reply.best)
    note = "all proven" if all_proven else f"the first {reply.proven} proven, the others the best found"
    return _answers(reply.best, quantities, f"The {len(reply.best)} best within the budgets ({note})", "best")


def front_table(explorer: Explorer, cost: str) -> Part:
    """Return the front as a list."""
    caption = f"The best network of each of 64 levels of {explorer.quantities[cost].label}, none dominated"
    return _answers(explorer.front(cost), explorer.quantities, caption, "front")


def network_part(view: NetworkView, why: str, quantities: Quantities) -> list[Part]:
    """Return one network: facts, drawing, and its blocks as a table."""
    title = html.P([html.Code(format_architecture(view.architecture)), f" {why}"], className="headline")
    known = [
        ("Measured (one-shot)", sentences.measured(view.measured)),
        ("Stand-alone", sentences.stand_alone(view.stand_alone)),
    ]
    table = html.Details([html.Summary("Blocks as a table"), _block_table({"": view}, (), quantities)], open=False)
    return [title, _facts([*_predicted(view, quantities), *known]), _chain(view, (), quantities), table]


def comparison_part(first: NetworkView, second: NetworkView, quantities: Quantities) -> list[Part]:
    """Return two networks side by side; blocks that differ are marked by a sign, a word and a frame."""
    marked = differing(first, second)
    both = {"A": first, "B": second}
    rows = [("Predicted score", *(_score(view) for view in both.values()))]
    rows += [(q.label, *(q.text(view.costs[q.name]) for view in both.values())) for q in quantities.values()]
    rows.append(("Measured (one-shot)", *(sentences.measured(view.measured) for view in both.values())))
    rows.append(("Stand-alone", *(sentences.stand_alone(view.stand_alone) for view in both.values())))
    head = [f"{name}: {format_architecture(view.architecture)}" for name, view in both.items()]
    drawn = [html.Div([html.H3(name), _chain(view, marked, quantities)]) for name, view in both.items()]
    blocks = html.Details([html.Summary("Blocks as a table"), _block_table(both, marked, quantities)])
    return [_table("A and B", ["", *head], rows), *drawn, blocks]


def difference_sentence(first: NetworkView, second: NetworkView) -> str:
    """Say in how many blocks two networks differ."""
    marked = differing(first, second)
    if not any(marked):
        return "A and B are the same network."
    places = ", ".join(str(i) for i, differs in enumerate(marked) if differs)
    return f"A and B differ in {sum(marked)} of {len(marked)} blocks: {places}."


def use_part(architecture: Architecture, commands: Sequence[Command], *, has_settings: bool) -> list[Part]:
    """Return which file the download is, and the commands to copy."""
    text = format_architecture(architecture)
    note: list[Part] = ["Downloads the settings with these budgets as ", html.Code(file_name(architecture)), "."]
    if not has_settings:
        note = [
            "This directory holds no settings of a run and its space is not built in. Write some with ",
            html.Code("archatlas init --space YOUR_SPACE_FILE"),
            " and use them with ",
            html.Code(f"archatlas retrain runs/{text} {text} --config archatlas.yaml"),
            ".",
        ]
    rows = [
        html.Li(
            [
                html.Span(command.note),
                html.Div(
                    [
                        html.Code(command.text, id={"kind": "command", "number": number}),
                        html.Button("Copy", id={"kind": "copy", "number": number}, type="button", title=command.text),
                    ],
                    className="command",
                ),
            ]
        )
        for number, command in enumerate(commands)
    ]
    return [html.P(note), html.Ul(rows, className="commands")]


def _predicted(view: NetworkView, quantities: Quantities) -> list[tuple[str, str]]:
    costs = [(q.label[:1].upper() + q.label[1:], q.text(view.costs[q.name])) for q in quantities.values()]
    places = [("Place in the whole space", sentences.share(view.better))]
    places += [(f"Place at about its {q.label}", sentences.share(view.better_at[q.name])) for q in quantities.values()]
    return [("Predicted score", _score(view)), *costs, *places]


def _score(view: NetworkView) -> str:
    stopped = (
        ": stopped by the screen, ranks below all that passed; not on the map at this height" if view.screened else ""
    )
    return f"{view.predicted:.3f}{stopped}"


def _facts(rows: Sequence[tuple[str, str]]) -> Part:
    return html.Dl([html.Div([html.Dt(name), html.Dd(value)]) for name, value in rows], className="facts")


def _answers(answers: Sequence[Answer], quantities: Quantities, caption: str, place: str) -> Part:
    head = [
        "Network",
        "Predicted score",
        *(f"{q.label} ({q.unit})" if q.unit else q.label for q in quantities.values()),
    ]
    rows = []
    for answer in answers:
        text = format_architecture(answer.architecture)
        button = html.Button(
            text,
            id={"kind": "show", "place": place, "network": text},
            type="button",
            title=f"Show {text}",
            className="code",
        )
        costs = [f"{answer.costs[q.name] / q.scale:,.4g}" for q in quantities.values()]
        rows.append((button, f"{answer.score:.3f}", *costs))
    return _table(caption, head, rows)


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Part]]) -> Part:
    body = [html.Tr([html.Th(row[0], scope="row"), *(html.Td(cell) for cell in row[1:])]) for row in rows]
    header = html.Thead(html.Tr([html.Th(name, scope="col") for name in head]))
    table = html.Table([html.Caption(caption), header, html.Tbody(body)])
    return html.Div(table, className="scroll", tabIndex="0", role="region", **aria(label=caption))


def _chain(view: NetworkView, marked: Sequence[bool], quantities: Quantities) -> Part:
    """Draw a network as a row of blocks; the bar in each is its share of the dearest block."""
    first = next(iter(quantities.values()))
    most = max((block.costs[first.name] for block in view.blocks), default=0.0) or 1.0
    boxes = []
    for number, block in enumerate(view.blocks):
        differs = bool(marked) and marked[number]
        part = max(0.0, block.costs[first.name] / most)
        boxes.append(
            html.Li(
                [
                    html.Span([f"{number}", html.B(" ≠ differs") if differs else ""], className="number"),
                    html.Span(_broken(block.operator), className="operator"),
                    html.Span(block.shape, className="shape"),
                    html.Span(html.Span(style={"width": f"{part:.1%}"}), className="bar", **aria(hidden="true")),
                    html.Span(first.text(block.costs[first.name]), className="cost"),
                ],
                className=" ".join(["block", *(["differs"] if differs else []), *(["idle"] if block.idle else [])]),
            )
        )
    ends = f"Stem and head add {first.text(view.fixed[first.name])} {first.label}; each block shows what it adds."
    return html.Div([html.Ol(boxes, className="chain"), html.P(ends, className="hint")])


def _broken(name: str) -> list[Part]:
    """Return a name that may be broken at its underscores."""
    parts: list[Part] = []
    for piece in name.split("_"):
        parts += [piece, "_", html.Wbr()]
    return parts[:-2]


def _block_table(views: Mapping[str, NetworkView], marked: Sequence[bool], quantities: Quantities) -> Part:
    head = ["Block", "Channels"]
    for name in views:
        head += [f"{name} operator".strip(), *(f"{name} {q.label}".strip() for q in quantities.values())]
    rows: list[list[Part]] = []
    for number, blocks in enumerate(zip(*(view.blocks for view in views.values()), strict=True)):
        differs = bool(marked) and marked[number]
        cells: list[Part] = [f"{number} ≠ differs" if differs else str(number), blocks[0].shape]
        for block in blocks:
            cells += _cells(block, quantities)
        rows.append(cells)
    ends: list[Part] = ["stem and head", ""]
    for view in views.values():
        ends += ["", *(q.text(view.fixed[q.name]) for q in quantities.values())]
    return _table("Blocks: operators and what each adds to the costs", head, [*rows, ends])


def _cells(block: BlockView, quantities: Quantities) -> list[Part]:
    return [block.operator, *(q.text(block.costs[q.name]) for q in quantities.values())]
