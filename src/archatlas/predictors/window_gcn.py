"""`WindowGCN`, the default predictor: main effects plus interactions within windows of the chain.

The flexible score is the sum over nodes of a graph convolutional network plus a table of main effects. After `layers`
message-passing steps a node has seen the nodes at most `layers` away, so the score is a sum over windows and is
tabulated once, when fitted. What is kept is the table.

Legend: `M` members, `A` architectures, `L` nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from archatlas.predictors.effects import soften
from archatlas.predictors.encoding import encode
from archatlas.predictors.ensemble import TrainingConfig, fit_ensemble
from archatlas.predictors.links import link_table
from archatlas.predictors.live import strip_dead
from archatlas.predictors.network import WindowNetwork
from archatlas.predictors.order import OrderConfig
from archatlas.predictors.tabulate import check_size, tabulate
from archatlas.predictors.targets import check_samples, normal_scores
from archatlas.predictors.windows import FittedWindows, finish
from archatlas.records import Architectures, Floats, WindowTerms
from archatlas.spaces import SpaceGraph

KIND = "window_gcn"


class WindowGCNConfig(BaseModel):
    """Settings of `WindowGCN`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: int = Field(
        default=2, ge=0, le=4, description="K: a window reaches K blocks to either side; 0 = main effects."
    )
    hidden: int = Field(default=96, ge=2, description="Features of a node.")
    strength: float = Field(default=1.0, ge=0, le=1, description="Strength of the interactions in the flexible score.")
    training: TrainingConfig = TrainingConfig()
    order: OrderConfig = OrderConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowGCN:
    """The default predictor; see the module."""

    config: WindowGCNConfig = WindowGCNConfig()

    @property
    def name(self) -> str:
        """Shown in reports."""
        return KIND

    def fit(self, graph: SpaceGraph, architectures: Architectures, scores: Floats, *, seed: int) -> FittedWindows:
        """Fit to scores `(A,)` (higher better) of architectures `(A, L)`.

        Raises:
            DataError: If the samples cannot be fitted.
            ConfigError: If `layers` makes windows that are too many to tabulate.
        """
        config = self.config
        check_samples(graph.num_choices, architectures, scores)
        check_size(graph.num_choices, config.layers)
        alive, targets = strip_dead(graph, architectures), normal_scores(scores)
        members, links = self._members(graph, alive, targets, seed=seed)
        samples = (alive, targets)
        return finish(KIND, graph, members, links, samples, config.order, seed=seed)

    def _members(
        self, graph: SpaceGraph, alive: Architectures, targets: Floats, *, seed: int
    ) -> tuple[tuple[WindowTerms, ...], Floats]:
        """Return the terms of each member and the tables of their links."""
        config, encoding = self.config, encode(graph, as_chain=True)
        build = partial(WindowNetwork, encoding, hidden=config.hidden, layers=config.layers)
        networks = fit_ensemble(build, graph, encoding, alive, targets, config.training, seed=seed)
        members, links = [], []
        for network in networks:
            assert isinstance(network, WindowNetwork)
            members.append(soften(tabulate(network, graph.num_choices), config.strength))
            links.append(link_table(network.link))
        return tuple(members), np.stack(links)
