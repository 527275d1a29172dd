"""What was asked, and what came out on top."""

from __future__ import annotations

import math
from collections.abc import Iterator

from archatlas.records import Architecture, as_array, format_architecture
from archatlas.reporting.page import Cell, Command, Section, Table, Value, command
from archatlas.reporting.reading import RunFacts
from archatlas.reporting.style import cost_label, format_cost

Row = tuple[Value, ...]


def answer_section(facts: RunFacts) -> Section:
    """Tell the question, the chosen network, what is known of it, and how to use it."""
    asked = Table(caption="Asked", rows=tuple(_asked(facts)))
    best = top_network(facts)
    title = "What was asked, and what came out on top"
    if best is None:
        missing = "No network is chosen yet: the search is not done."
        return Section(
            name="answer", title=title, tables=(asked,), missing=missing, commands=(continue_command(facts),)
        )
    answered = Table(caption="Came out on top", rows=tuple(_answered(facts, best)))
    tables = [asked, answered]
    if facts.finalists:
        tables.append(_finalists(facts))
    return Section(
        name="answer",
        title=title,
        tables=tuple(tables),
        missing=_not_trained(facts),
        commands=tuple(_commands(facts, best)),
    )


def top_network(facts: RunFacts) -> Architecture | None:
    """Return the network that the search chose; of a table's fit the first of the atlas."""
    if facts.is_table:
        return facts.atlas.top(1)[0][0] if facts.atlas is not None else None
    return facts.winner


def continue_command(facts: RunFacts) -> Command:
    """Return the command that continues a stopped run."""
    return command("Continue this run", "run", facts.path / "config.yaml", "--run", facts.path)


def interval(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of `count` images."""
    z = 1.96
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return centre - half, centre + half


def _asked(facts: RunFacts) -> Iterator[Row]:
    if facts.graph is not None:
        size = math.prod(facts.graph.num_choices)
        blocks = len(facts.graph.num_choices)
        yield "Space", f"{facts.graph.name}: {blocks} blocks, {size:,} architectures"
    if facts.atlas is not None:
        yield "Distinct networks", f"{facts.atlas.size:,}"
    if facts.data is not None:
        images = facts.data["images"]
        split = ", ".join(f"{images[part]:,} {part}" for part in ("train", "validation", "test"))
        shape = f"{facts.data['channels']} x {facts.data['resolution']} x {facts.data['resolution']}"
        yield "Images", f"{facts.data['name']}: {split}; {shape}, {len(facts.data['class_names'])} classes"
        yield "Classes", _listed([str(name) for name in facts.data["class_names"]])
    if facts.is_table:
        yield "Scores", "a table of your own"
        return
    budgets = facts.settings.get("budgets", {})
    limits = ", ".join(f"{cost_label(name)} at most {format_cost(upper)}" for name, upper in budgets.items())
    yield "Budgets", limits or "none"
    yield "Search", str(facts.settings["search"]["mode"])
    yield "Predictor", str(facts.settings["predictor"]["name"])
    yield "Seed", str(facts.settings["seed"])


def _listed(names: list[str], most: int = 12) -> str:
    rest = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _answered(facts: RunFacts, best: Architecture) -> Iterator[Row]:
    text = format_architecture(best)
    yield "Network", text
    budgets = facts.settings.get("budgets", {})
    for name, value in _costs(facts, best).items():
        limit = f" of at most {format_cost(budgets[name])}" if name in budgets else ""
        yield cost_label(name), f"{format_cost(value)}{limit}"
    if facts.trained is not None and facts.trained.architecture == best:
        low, high = interval(facts.trained.test_accuracy, facts.trained.test_images)
        accuracy = (
            f"{facts.trained.test_accuracy:.2%} of {facts.trained.test_images:,} test images "
            f"(95 % interval {low:.1%} to {high:.1%}, one training)"
        )
        yield "Test accuracy", Cell(text=accuracy, mark="stand-alone")
        balanced = f"{facts.trained.test_balanced_accuracy:.2%}, mean over classes"
        yield "Balanced test accuracy", Cell(text=balanced, mark="stand-alone")
    if facts.finalists:
        first = facts.finalists[0]
        one_shot = f"{first['one_shot_accuracy']:.2%} of the validation images, with the weights of the super-network"
        yield "One-shot accuracy", Cell(text=one_shot, mark="measured")
    if facts.atlas is not None:
        score = float(facts.atlas.score(as_array([best]))[0])
        yield (
            "Score in the atlas",
            Cell(text=f"{score:.3f} (normal scores; compares networks, is no accuracy)", mark="predicted"),
        )
        place = facts.atlas.percentile(best)
        share = f"{place.upper:.2g}" if place.upper < 0.001 else f"{place.upper:.1%}"
        words = f"better than all but at most {share} of the space" if place.upper > 0 else "the best of the space"
        yield "Place in the atlas", Cell(text=words, mark="predicted")


def _costs(facts: RunFacts, architecture: Architecture) -> dict[str, float]:
    if facts.atlas is not None:
        return {name: float(values[0]) for name, values in facts.atlas.costs(as_array([architecture])).items()}
    return dict(facts.finalists[0]["costs"])


def _finalists(facts: RunFacts) -> Table:
    costs = list(facts.finalists[0]["costs"])
    rows = [
        (
            finalist["architecture"],
            Cell(text=f"{finalist['predicted_score']:.3f}", mark="predicted"),
            Cell(text=f"{finalist['one_shot_accuracy']:.2%}", mark="measured"),
            Cell(text=f"{finalist['one_shot_loss']:.4f}", mark="measured"),
            *(format_cost(finalist["costs"][name]) for name in costs),
        )
        for finalist in facts.finalists[:10]
    ]
    header = ("network", "predicted score", "one-shot accuracy", "one-shot loss", *map(cost_label, costs))
    caption = f"The first {len(rows)} of {len(facts.finalists)} networks that the search kept, in its order"
    return Table(caption=caption, header=header, rows=tuple(rows), folded=True)


def _not_trained(facts: RunFacts) -> str:
    if facts.is_table:
        return ""
    if facts.trained is None:
        return "The network is not trained on its own yet, so its accuracy is not known: see the commands."
    if facts.trained.architecture != facts.winner:
        other = format_architecture(facts.trained.architecture)
        return (
            f"Trained on its own was {other} ({facts.trained.test_accuracy:.2%} of "
            f"{facts.trained.test_images:,} test images), not the network that the search chose."
        )
    return ""


def _commands(facts: RunFacts, best: Architecture) -> Iterator[Command]:
    text = format_architecture(best)
    if facts.next_stage is not None and not facts.is_table:
        yield continue_command(facts)
    if facts.trained is not None:
        yield command("Export it as ONNX and as weights", "export", facts.path)
    elif not facts.is_table:
        yield command("Train it on its own", "retrain", facts.path, text)
    if facts.atlas is not None:
        name = facts.atlas.cost_names[0]
        limit = float(f"{_costs(facts, best)[name] * 0.8:.2g}")
        yield command("Everything known of it", "describe", facts.path, text)
        yield command("The best within a budget", "query", facts.path, f"{name} <= {limit:.10g}", "--top", "5")
        yield command("The best at every cost", "pareto", facts.path, "--cost", name)
