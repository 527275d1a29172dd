"""`GlobalGCN`: message passing along the edges of any graph, chain or cell, with a global node and pooled read-out.

It is not a sum over windows, so it cannot be tabulated for spaces too large to enumerate; it re-ranks short-lists and
serves cells.

Legend: `M` members, `A` architectures, `L` nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from archatlas.predictors.artifacts import (
    Artifact,
    order_from_artifact,
    order_to_tensors,
    write_artifact,
)
from archatlas.predictors.encoding import Encoding, encode
from archatlas.predictors.ensemble import Network, TrainingConfig, fit_ensemble
from archatlas.predictors.live import strip_dead
from archatlas.predictors.network import GlobalNetwork
from archatlas.predictors.order import Order, OrderConfig, build_order
from archatlas.predictors.targets import check_samples, normal_scores
from archatlas.records import Architectures, Floats, Prediction
from archatlas.spaces import SpaceGraph

KIND = "global_gcn"
_BATCH = 4096


class GlobalGCNConfig(BaseModel):
    """Settings of `GlobalGCN`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: int = Field(default=2, ge=0, le=8, description="Message-passing steps.")
    hidden: int = Field(default=96, ge=2, description="Features of a node.")
    training: TrainingConfig = TrainingConfig()
    order: OrderConfig = OrderConfig()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedGlobalGCN:
    """A fitted `GlobalGCN`.

    Args:
        config: Its settings.
        graph: The space.
        networks: `M` members.
        order: The two-stage order.
    """

    config: GlobalGCNConfig
    graph: SpaceGraph
    networks: Sequence[Network]
    order: Order

    def predict(self, architectures: Architectures) -> Prediction:
        """Return mean and spread of the members' linked scores for `(A, L)`."""
        alive = strip_dead(self.graph, architectures)
        scores = _scores(self.networks, encode(self.graph), alive)
        return Prediction(mean=scores.mean(axis=0), std=scores.std(axis=0))

    def rank(self, architectures: Architectures) -> Floats:
        """Return the two-stage order `(A,)`, higher is better."""
        return self.order(self.predict(architectures).mean, strip_dead(self.graph, architectures))

    def save(self, directory: Path) -> None:
        """Write weights and order as safetensors, settings as JSON."""
        tensors = order_to_tensors(self.order)
        for m, network in enumerate(self.networks):
            tensors |= {f"member{m}.{name}": value.numpy() for name, value in network.state_dict().items()}
        write_artifact(directory, KIND, self.graph, tensors, {"config": self.config.model_dump()})


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalGCN:
    """The global network; see the module."""

    config: GlobalGCNConfig = GlobalGCNConfig()

    @property
    def name(self) -> str:
        """Shown in reports."""
        return KIND

    def fit(self, graph: SpaceGraph, architectures: Architectures, scores: Floats, *, seed: int) -> FittedGlobalGCN:
        """Fit to scores `(A,)` (higher better) of architectures `(A, L)`."""
        check_samples(graph.num_choices, architectures, scores)
        alive, targets = strip_dead(graph, architectures), normal_scores(scores)
        encoding = encode(graph)
        networks = fit_ensemble(
            _builder(encoding, self.config), graph, encoding, alive, targets, self.config.training, seed=seed
        )

        def flexible(rows: Architectures) -> Floats:
            return np.asarray(_scores(networks, encoding, rows).mean(axis=0))

        order = build_order(graph, alive, targets, flexible, self.config.order, seed=seed)
        return FittedGlobalGCN(config=self.config, graph=graph, networks=networks, order=order)


def read_global_gcn(artifact: Artifact, graph: SpaceGraph) -> FittedGlobalGCN:
    """Return what `FittedGlobalGCN.save` wrote."""
    config = GlobalGCNConfig(**artifact.settings["config"])
    networks = []
    for m in range(config.training.members):
        network = _builder(encode(graph), config)()
        prefix = f"member{m}."
        state = {
            k.removeprefix(prefix): torch.from_numpy(v) for k, v in artifact.tensors.items() if k.startswith(prefix)
        }
        network.load_state_dict(state)
        networks.append(network.eval().requires_grad_(False))
    return FittedGlobalGCN(
        config=config,
        graph=graph,
        networks=networks,
        order=order_from_artifact(artifact),
    )


def _builder(encoding: Encoding, config: GlobalGCNConfig) -> partial[GlobalNetwork]:
    return partial(GlobalNetwork, encoding, hidden=config.hidden, layers=config.layers)


@torch.no_grad()
def _scores(networks: Sequence[Network], encoding: Encoding, alive: Architectures) -> Floats:
    """Return linked scores `(M, A)`."""
    rows = encoding.rows(alive)
    parts = [torch.stack([n.link(n(rows[i : i + _BATCH])) for n in networks]) for i in range(0, len(rows), _BATCH)]
    return torch.cat(parts, dim=1).numpy().astype(np.float64)
