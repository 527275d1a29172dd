"""What every predictor that is a sum over windows becomes when it is fitted: tables.

Legend: `M` members, `A` architectures, `L` nodes, `P` points of a link.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archatlas.predictors.artifacts import (
    Artifact,
    order_from_artifact,
    order_to_tensors,
    terms_to_tensors,
    write_artifact,
)
from archatlas.predictors.effects import add
from archatlas.predictors.links import linked
from archatlas.predictors.live import strip_dead
from archatlas.predictors.order import Order, OrderConfig, build_order
from archatlas.records import Architectures, Floats, Prediction, TwoStageTerms, WindowTerms
from archatlas.spaces import SpaceGraph


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedWindows:
    """A fitted predictor that is a sum over windows: the terms of each member, and the order.

    Args:
        kind: Name of the predictor that made it.
        graph: The space that it was fitted on.
        members: Flexible score of each member, before its link.
        links: `M` tables `(2, P)`: sums and linked scores of each member at `P` increasing sums.
        order: The two-stage order.
    """

    kind: str
    graph: SpaceGraph
    members: tuple[WindowTerms, ...]
    links: Floats
    order: Order

    @property
    def flexible(self) -> WindowTerms:
        """Mean of the members, the score that `predict` orders by."""
        return add(*((1.0 / len(self.members), member) for member in self.members))

    @property
    def terms(self) -> TwoStageTerms:
        """The order of `rank` as window terms, for architectures without dead operators (in a chain: all)."""
        return self.order.terms(self.flexible)

    @property
    def member_screens(self) -> tuple[WindowTerms, ...]:
        """The screen of each member; their mean is `terms.screen`."""
        return tuple(add((1.0, member), (1.0, self.order.bonus)) for member in self.members)

    def predict(self, architectures: Architectures) -> Prediction:
        """Return mean and spread of the members' linked scores for `(A, L)`."""
        alive = strip_dead(self.graph, architectures)
        sums = np.stack([member(alive) for member in self.members])  # (M, A)
        spread = np.std([linked(link, row) for link, row in zip(self.links, sums, strict=True)], axis=0)
        mean = np.mean([linked(link, sums.mean(axis=0)) for link in self.links], axis=0)
        return Prediction(mean=mean, std=spread)

    def rank(self, architectures: Architectures) -> Floats:
        """Return the two-stage order `(A,)`, higher is better."""
        alive = strip_dead(self.graph, architectures)
        flexible = np.mean([member(alive) for member in self.members], axis=0)
        return self.order(flexible, alive)

    def save(self, directory: Path) -> None:
        """Write the tables as safetensors and the rest as JSON; see `archatlas.predictors.load`."""
        tensors: dict[str, Floats] = {"links": self.links}
        for m, member in enumerate(self.members):
            tensors |= terms_to_tensors(f"member{m}", member)
        write_artifact(
            directory, self.kind, self.graph, tensors | order_to_tensors(self.order), {"members": len(self.links)}
        )


def read_windows(artifact: Artifact, graph: SpaceGraph) -> FittedWindows:
    """Return what `FittedWindows.save` wrote."""
    members = tuple(artifact.terms(f"member{m}") for m in range(artifact.number("members")))
    return FittedWindows(
        kind=artifact.kind,
        graph=graph,
        members=members,
        links=artifact.tensors["links"],
        order=order_from_artifact(artifact),
    )


def finish(
    kind: str,
    graph: SpaceGraph,
    members: tuple[WindowTerms, ...],
    links: Floats,
    samples: tuple[Architectures, Floats],
    config: OrderConfig,
    *,
    seed: int,
) -> FittedWindows:
    """Put the two-stage order over members.

    Args:
        kind: Name of the predictor.
        graph: The space.
        members: Flexible score of each member.
        links: `(M, 2, P)`.
        samples: `(A, L)` architectures without dead operators and `(A,)` normal scores.
        config: Of the order.
        seed: Of the architectures that the screen's quantile is taken over.
    """

    def flexible(architectures: Architectures) -> Floats:
        return np.asarray(np.mean([member(architectures) for member in members], axis=0))

    order = build_order(graph, *samples, flexible, config, seed=seed)
    return FittedWindows(kind=kind, graph=graph, members=members, links=links, order=order)
