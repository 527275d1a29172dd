"""Fitting an ensemble of networks: the read-out is solved, then all weights are refined in one batched pass.

With few samples, gradient descent from a random start fits the noise long before it finds the interactions. So each
member begins as a random feature map whose read-out and main effects are the posterior mean of a Bayesian regression,
with prior variances of largest evidence. Refinement by AdamW follows, over stacked weights, so that five members cost
little more calls than one.

Legend: `M` members, `A` architectures, `B` mini-batch, `L` nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.func import functional_call, stack_module_state

from archatlas.predictors.effects import one_hot, sharing
from archatlas.predictors.encoding import Encoding
from archatlas.predictors.evidence import regress
from archatlas.predictors.network import GlobalNetwork, WindowNetwork
from archatlas.records import Architectures, Floats
from archatlas.spaces import SpaceGraph

Network = WindowNetwork | GlobalNetwork


class TrainingConfig(BaseModel):
    """How the networks are fitted. The read-out is solved; `steps` of AdamW with a one-cycle schedule may follow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: int = Field(default=5, ge=1, description="Networks in the ensemble; their spread is the reported std.")
    steps: int = Field(default=0, ge=0, description="Updates that refine all weights after the read-out is solved.")
    batch_size: int = Field(default=128, ge=2, description="Architectures in an update.")
    learning_rate: float = Field(default=2e-3, gt=0, description="Peak of the one-cycle schedule.")
    weight_decay: float = Field(default=1e-2, ge=0, description="AdamW's decay.")
    ranking_weight: float = Field(default=0.3, ge=0, description="Weight of the pairwise loss beside the squared one.")


def fit_ensemble(
    build: Callable[[], Network],
    graph: SpaceGraph,
    encoding: Encoding,
    architectures: Architectures,
    targets: Floats,
    config: TrainingConfig,
    *,
    seed: int,
) -> list[Network]:
    """Fit `members` networks.

    Args:
        build: Returns a freshly initialised network.
        graph: The space.
        encoding: The space as the network sees it.
        architectures: `(A, L)` without dead operators.
        targets: `(A,)` normal scores.
        config: Settings.
        seed: Of initial weights and mini-batches; the same seed gives the same members.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = [build() for _ in range(config.members)]
    rows = encoding.rows(architectures)
    for network in networks:
        _solve(network, graph, architectures, rows, targets)
    if config.steps:
        _refine(networks, rows, torch.from_numpy(targets).float(), config, seed=seed)
    return [network.eval().requires_grad_(False) for network in networks]


@torch.no_grad()
def _solve(
    network: Network, graph: SpaceGraph, architectures: Architectures, rows: torch.Tensor, targets: Floats
) -> None:
    """Set main effects, read-out and offset to their posterior means."""
    shared = sharing(graph)
    indicators = one_hot(graph.num_choices, architectures)
    features = network.features(rows).double().numpy()
    posterior = regress([*(indicators @ group for group in shared), features], targets)
    sizes = np.cumsum([group.shape[1] for group in shared])
    *effects, readout = np.split(posterior.weights, sizes)
    main = np.sum([group @ weights for group, weights in zip(shared, effects, strict=True)], axis=0)
    operators = max(graph.num_choices)
    slots = np.concatenate([i * operators + np.arange(count) for i, count in enumerate(graph.num_choices)])
    network.effects[torch.from_numpy(slots)] = torch.from_numpy(main).float()
    network.readout.copy_(torch.from_numpy(readout))
    network.offset.fill_(posterior.offset)


def _refine(
    networks: list[Network], rows: torch.Tensor, targets: torch.Tensor, config: TrainingConfig, *, seed: int
) -> None:
    """Refine all weights of all members at once; each member has its own order of mini-batches."""
    parameters, buffers = stack_module_state(list(networks))
    skeleton = networks[0]

    def forward(weights: dict[str, Any], stored: dict[str, Any], batch: torch.Tensor) -> torch.Tensor:
        sums = functional_call(skeleton, (weights, stored), (batch,))
        return torch.stack([sums, functional_call(skeleton.link, (_link(weights), _link(stored)), (sums,))])

    optimiser = torch.optim.AdamW(parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=config.learning_rate, total_steps=config.steps, cycle_momentum=False
    )
    generator = torch.Generator().manual_seed(seed)
    size = min(config.batch_size, len(rows))
    for _ in range(config.steps):
        picks = torch.stack([torch.randperm(len(rows), generator=generator)[:size] for _ in networks])  # (M, B)
        outputs = torch.vmap(forward)(parameters, buffers, rows[picks])  # (M, 2, B)
        loss = _loss(outputs[:, 0], outputs[:, 1], targets[picks], config.ranking_weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    for member, network in enumerate(networks):
        network.load_state_dict({name: value[member].detach() for name, value in (parameters | buffers).items()})


def _link(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name.removeprefix("link."): value for name, value in state.items() if name.startswith("link.")}


def _loss(sums: torch.Tensor, linked: torch.Tensor, targets: torch.Tensor, ranking_weight: float) -> torch.Tensor:
    """Squared error of linked scores plus pairwise logistic loss of sums, each `(M, B)`, summed over members."""
    squared = (linked - targets).square().mean(dim=1)
    gaps = sums[:, :, None] - sums[:, None, :]
    wanted = targets[:, :, None] - targets[:, None, :]
    ranking = (nn.functional.softplus(-2.0 * gaps) * wanted.clamp(min=0.0)).mean(dim=(1, 2))
    return (squared + ranking_weight * ranking).sum()
