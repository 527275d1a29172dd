"""What each part of the page shows, given what the browser holds: plain functions, asked by the callbacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import no_update

from archatlas.errors import ConfigError, InvalidArchitectureError
from archatlas.explorer import export, parts
from archatlas.explorer.charts import Charts, Named, picked
from archatlas.explorer.explorer import Explorer
from archatlas.records import Architecture, Budget, format_architecture, parse_architecture

Limits = Sequence[float | None]
Kept = str | None
"""An architecture, as text."""

Shown = dict[str, str]
"""The `network` that is shown, as text, and `why` it is."""


class Desk:
    """What each part of the page shows, given what the browser holds.

    Args:
        explorer: Answers the questions.
    """

    def __init__(self, explorer: Explorer) -> None:
        self.explorer, self.charts = explorer, Charts(explorer)

    def answer(self, limits: Limits) -> tuple[str, Any, Any, dict[str, float], Any]:
        """Return sentence, facts and table of the answer, its budgets by cost, and the network to show.

        Args:
            limits: One shown number per cost; None or the largest for no limit.
        """
        quantities = self.explorer.quantities
        bounds = {name: each.limit(shown) for (name, each), shown in zip(quantities.items(), limits, strict=True)}
        budgets = [Budget(cost=name, upper=upper) for name, upper in bounds.items() if upper is not None]
        reply = self.explorer.reply(budgets)
        sentence = parts.answer_sentence(reply, quantities)
        held = {budget.cost: budget.upper for budget in budgets}
        if not reply.best:
            return sentence, [], [], held, no_update
        view = self.explorer.network(reply.best[0].architecture)
        facts = parts.answer_facts(reply, view, quantities)
        shown = {"network": format_architecture(view.architecture), "why": "best within the budgets"}
        return sentence, facts, parts.best_table(reply, quantities), held, shown

    def listed(self, network: str, place: str) -> Shown:
        """Return the network of a row of a table."""
        origin = {"best": "from the list of the best", "front": "from the front"}
        return {"network": network, "why": origin[place]}

    def typed(self, text: str | None) -> tuple[Any, str]:
        """Return the network that was typed, and what is wrong with it."""
        try:
            return {"network": format_architecture(self.explorer.parse(text or "")), "why": "as typed"}, ""
        except InvalidArchitectureError as error:
            return no_update, str(error)

    def clicked(self, click: dict[str, Any], cost: str) -> tuple[Any, list[Any]]:
        """Return the network that was clicked, or the limits where an empty place was."""
        found = picked(click)
        untouched = [no_update] * len(self.explorer.quantities)
        if not isinstance(found, float):
            return {"network": format_architecture(found), "why": "as clicked"}, untouched
        return no_update, [
            float(f"{found / each.scale:.4g}") if name == cost else no_update
            for name, each in self.explorer.quantities.items()
        ]

    def network(self, shown: Shown) -> tuple[Any, Any, bool]:
        """Return the network shown, what can be done with it, and whether there is nothing to download."""
        architecture = parse_architecture(shown["network"])
        view = self.explorer.network(architecture)
        known = self.explorer.knowledge
        has_settings = known.config is not None
        use = parts.use_part(architecture, export.commands(known, architecture), has_settings=has_settings)
        return parts.network_part(view, shown["why"], self.explorer.quantities), use, not has_settings

    def comparison(self, first: Kept, second: Kept) -> tuple[str, Any]:
        """Return in what two networks differ, and both."""
        if first is None or second is None:
            missing = " and ".join(name for name, kept in (("A", first), ("B", second)) if kept is None)
            return f"Show a network and keep it as {missing}.", []
        a, b = (self.explorer.network(parse_architecture(kept)) for kept in (first, second))
        return parts.difference_sentence(a, b), parts.comparison_part(a, b, self.explorer.quantities)

    def drawn(self, cost: str, named: Named) -> tuple[Any, Any, Any]:
        """Return map, front, and the front as a table."""
        return *self.charts.draw(cost, named), parts.front_table(self.explorer, cost)

    def exported(self, shown: Shown, held: dict[str, float]) -> dict[str, Any]:
        """Return the file to download.

        Raises:
            ConfigError: If there are no settings to export.
        """
        architecture = parse_architecture(shown["network"])
        budgets = [Budget(cost=name, upper=upper) for name, upper in held.items()]
        text = export.settings(self.explorer.knowledge, architecture, budgets)
        if text is None:
            raise ConfigError("There are no settings to export.")
        return {"content": text, "filename": export.file_name(architecture), "type": "text/yaml"}


def named(shown: Shown | None, first: Kept, second: Kept) -> dict[str, Architecture]:
    """Return the networks to mark on the figures."""
    texts = {"shown": shown["network"] if shown else None, "A": first, "B": second}
    return {name: parse_architecture(text) for name, text in texts.items() if text is not None}
