"""Answers to what the page asks; no page, no server.

Whatever does not depend on the budgets is computed once. One search runs at a time: two at once would only be slower.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from archatlas.atlas import Answer, CostSummary, Density, EnumeratedAtlas, FactoredAtlas, Percentile
from archatlas.errors import InfeasibleBudgetError
from archatlas.explorer.knowledge import Knowledge
from archatlas.explorer.quantities import Quantity, quantity
from archatlas.records import (
    Architecture,
    Budget,
    Certificate,
    Evaluation,
    Floats,
    WindowTerms,
    as_array,
    format_architecture,
    parse_architecture,
)
from archatlas.retraining import RetrainResult

BEST = 10
"""Networks that an answer lists."""

LEVELS = 64
"""Even cost levels of the front."""

_MOST_KEPT = 4_096

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a set of budgets.

    Args:
        budgets: What was asked.
        best: The best networks, best first; none where no network meets the budgets.
        proven: So many of them, from the first on, are proven to stand in their place.
        problem: Why there is none, and what is attainable.
    """

    budgets: tuple[Budget, ...]
    best: tuple[Answer, ...] = ()
    proven: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockView:
    """One block of a network.

    Args:
        operator: Its name.
        shape: Channels and stride, such as `32 to 64, stride 2`; empty where the atlas does not know them.
        idle: Whether the operator does nothing.
        costs: What the block adds to each cost.
    """

    operator: str
    shape: str
    idle: bool
    costs: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """All that is known of one network; predicted, measured and stand-alone are kept apart.

    Args:
        architecture: Canonical.
        predicted: Score in the predictor's order.
        screened: Whether the screen stopped it: it then ranks below all that passed.
        costs: Each cost by name.
        fixed: What stem and head add to each cost.
        blocks: In order.
        better: Share of the space that is predicted to be better.
        better_at: The same among networks of about the same cost, by cost.
        measured: One-shot score, if the super-network measured it.
        stand_alone: Result of its training on its own, if there was one.
    """

    architecture: Architecture
    predicted: float
    screened: bool
    costs: dict[str, float]
    fixed: dict[str, float]
    blocks: tuple[BlockView, ...]
    better: Percentile
    better_at: dict[str, Percentile]
    measured: Evaluation | None
    stand_alone: RetrainResult | None


class Explorer:
    """Answers questions about one atlas; safe to ask from several threads.

    Args:
        knowledge: The atlas and what is known besides.
    """

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self.atlas: FactoredAtlas | EnumeratedAtlas = knowledge.atlas
        self.summaries: tuple[CostSummary, ...] = tuple(self.atlas.summaries())
        self.quantities: dict[str, Quantity] = {summary.name: quantity(summary) for summary in self.summaries}
        self._lock = threading.RLock()
        self._fixed: dict[Hashable, Any] = {}  # does not depend on budgets
        self._asked: dict[Hashable, Any] = {}

    def prepare(self, log: Callable[[str], None]) -> None:
        """Compute what every question needs, so that the first one is as fast as the others."""
        for name, shown in self.quantities.items():
            log(f"counting {self.atlas.size:,} networks by {shown.label}")
            self.density(name)
            self.front(name)
        best = self.reply(()).best[0].architecture
        log("placing the best network among all")
        self.network(best)

    def reply(self, budgets: Sequence[Budget]) -> Reply:
        """Return the best networks within budgets, or what is attainable where there are none."""
        asked = tuple(budgets)
        return self._once(self._asked, ("reply", asked), lambda: self._search(asked))

    def front(self, cost: str) -> list[Answer]:
        """Return the best network at each of 64 even levels of a cost, cheapest first."""
        return self._once(self._fixed, ("front", cost), lambda: self.atlas.pareto(cost, LEVELS))

    def density(self, cost: str) -> Density:
        """Return how many networks there are of each cost and predicted score."""
        return self._once(self._fixed, ("density", cost), lambda: self.atlas.density(cost))

    def network(self, architecture: Architecture) -> NetworkView:
        """Return all that is known of a network of the space."""
        return self._once(self._asked, ("network", architecture), lambda: self._view(architecture))

    def parse(self, text: str) -> Architecture:
        """Read an architecture; what is the same network as another becomes that one.

        Raises:
            InvalidArchitectureError: If the space does not hold it.
        """
        asked = parse_architecture(text)
        self.atlas.graph.validate(asked)
        (canonical,) = self.atlas.graph.canonical(as_array([asked]))
        return tuple(map(int, canonical))

    def heights(self, architectures: Sequence[Architecture]) -> Floats:
        """Return where networks `(A,)` lie on the score axis of the density."""
        rows = self.atlas.graph.canonical(as_array(list(architectures)))
        if isinstance(self.atlas, FactoredAtlas):
            return self.atlas.order.rank(rows)
        return self.atlas.score(rows)

    def screened(self, architecture: Architecture) -> bool:
        """Tell whether the screen stopped a network: it then ranks below all that passed."""
        if not isinstance(self.atlas, FactoredAtlas):
            return False
        order = self.atlas.order
        return bool(order.screen(as_array([architecture]))[0] < order.threshold)

    def _once(self, kept: dict[Hashable, Any], key: Hashable, work: Callable[[], T]) -> T:
        with self._lock:
            if key not in kept:
                if len(kept) >= _MOST_KEPT:
                    kept.clear()
                kept[key] = work()
            result: T = kept[key]
            return result

    def _search(self, budgets: tuple[Budget, ...]) -> Reply:
        try:
            if isinstance(self.atlas, FactoredAtlas):
                found, bound = self.atlas.ranking(BEST, budgets)
            else:
                found, bound = self.atlas.top(BEST, budgets), -np.inf
        except InfeasibleBudgetError as error:
            return Reply(budgets=budgets, problem=str(error))
        costs = self.atlas.costs(as_array([architecture for architecture, _ in found]))
        upper = max(found[0][1], bound)
        best = tuple(
            Answer(
                architecture=architecture,
                score=score,
                costs={name: float(values[i]) for name, values in costs.items()},
                certificate=Certificate(lower=score, upper=upper),
            )
            for i, (architecture, score) in enumerate(found)
        )
        return Reply(budgets=budgets, best=best, proven=sum(score >= bound for _, score in found))

    def _view(self, architecture: Architecture) -> NetworkView:
        atlas, known = self.atlas, self.knowledge
        one = as_array([architecture])
        terms = _cost_terms(atlas)
        trained = known.stand_alone
        if trained is not None and self.parse(format_architecture(trained.architecture)) != architecture:
            trained = None
        return NetworkView(
            architecture=architecture,
            predicted=float(atlas.score(one)[0]),
            screened=self.screened(architecture),
            costs={name: float(values[0]) for name, values in atlas.costs(one).items()},
            fixed={name: each.offset for name, each in terms.items()},
            blocks=_blocks(atlas, architecture, terms),
            better=atlas.percentile(architecture),
            better_at={name: atlas.percentile(architecture, name) for name in atlas.cost_names},
            measured=known.measured.get(architecture),
            stand_alone=trained,
        )


def differing(first: NetworkView, second: NetworkView) -> tuple[bool, ...]:
    """Tell for each block whether two networks have different operators there."""
    return tuple(a != b for a, b in zip(first.architecture, second.architecture, strict=True))


def _cost_terms(atlas: FactoredAtlas | EnumeratedAtlas) -> dict[str, WindowTerms]:
    if isinstance(atlas, FactoredAtlas):
        return dict(atlas.cost_terms)
    return {name: cost.terms for name, cost in atlas.graph.costs.items()}


def _blocks(
    atlas: FactoredAtlas | EnumeratedAtlas, architecture: Architecture, terms: dict[str, WindowTerms]
) -> tuple[BlockView, ...]:
    """Return the blocks; a cost that looks at neighbours is shown at the block in the middle of its window."""
    graph, views = atlas.graph, []
    parts = {name: each.parts(architecture) for name, each in terms.items()}
    for i, operator in enumerate(architecture):
        facts = dict(zip(graph.attribute_names, graph.attributes[i][operator], strict=True))
        known = {"in_channels", "out_channels", "stride"} <= set(facts)
        shape = f"{facts['in_channels']:.0f} to {facts['out_channels']:.0f}" if known else ""
        if known and facts["stride"] > 1:
            shape += f", stride {facts['stride']:.0f}"
        views.append(
            BlockView(
                operator=graph.operator_name(i, operator),
                shape=shape,
                idle=bool(graph.no_ops[i][operator]),
                costs={name: part[i] for name, part in parts.items()},
            )
        )
    return tuple(views)
