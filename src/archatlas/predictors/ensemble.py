"""Training an ensemble of networks in one batched pass.

The members' weights are stacked and the forward pass is mapped over them, so five members cost little more calls
than one. Each has its own initial weights and its own order of mini-batches.

Legend: `M` members, `A` architectures, `B` mini-batch, `L` nodes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.func import functional_call, stack_module_state

from archatlas.records import Floats


class TrainingConfig(BaseModel):
    """How the networks are trained: AdamW with a one-cycle schedule."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: int = Field(default=5, ge=1, description="Networks in the ensemble; their spread is the reported std.")
    steps: int = Field(default=300, ge=1, description="Updates.")
    batch_size: int = Field(default=128, ge=2, description="Architectures in an update.")
    learning_rate: float = Field(default=1e-2, gt=0, description="Peak of the one-cycle schedule.")
    weight_decay: float = Field(default=1e-2, ge=0, description="AdamW's decay.")
    ranking_weight: float = Field(
        default=0.3, ge=0, description="Weight of the pairwise ranking loss beside the squared one."
    )


def train_ensemble(
    build: Callable[[], nn.Module],
    rows: torch.Tensor,
    base: torch.Tensor,
    targets: torch.Tensor,
    config: TrainingConfig,
    *,
    seed: int,
) -> list[nn.Module]:
    """Train `members` networks to `link(base + network(rows)) = targets`.

    Args:
        build: Returns a freshly initialised network with a `link`.
        rows: `(A, L)`, what the network takes.
        base: `(A,)`, added to the network's output before the link: the main effects.
        targets: `(A,)` normal scores.
        config: Settings.
        seed: Of initial weights and mini-batches; the same seed gives the same members.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = [build() for _ in range(config.members)]
    parameters, buffers = stack_module_state(networks)
    skeleton = networks[0]

    def forward(weights: object, stored: object, batch: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        sums = start + functional_call(skeleton, (weights, stored), (batch,))  # type: ignore[arg-type]
        linked: torch.Tensor = functional_call(skeleton.link, (_link(weights), _link(stored)), (sums,))  # type: ignore
        return torch.stack([sums, linked])

    optimiser = torch.optim.AdamW(parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=config.learning_rate, total_steps=config.steps, cycle_momentum=False
    )
    generator = torch.Generator().manual_seed(seed)
    size = min(config.batch_size, len(rows))
    for _ in range(config.steps):
        picks = torch.stack([torch.randperm(len(rows), generator=generator)[:size] for _ in networks])  # (M, B)
        outputs = torch.vmap(forward)(parameters, buffers, rows[picks], base[picks])  # (M, 2, B)
        loss = _loss(outputs[:, 0], outputs[:, 1], targets[picks], config.ranking_weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    for member, network in enumerate(networks):
        network.load_state_dict({name: value[member].detach() for name, value in (parameters | buffers).items()})
        network.eval().requires_grad_(False)
    return networks


def _link(state: object) -> dict[str, torch.Tensor]:
    assert isinstance(state, dict)
    return {name.removeprefix("link."): value for name, value in state.items() if name.startswith("link.")}


def _loss(sums: torch.Tensor, linked: torch.Tensor, targets: torch.Tensor, ranking_weight: float) -> torch.Tensor:
    """Squared error of linked scores plus pairwise logistic loss of sums, each `(M, B)`, summed over members."""
    squared = (linked - targets).square().mean(dim=1)
    gaps = sums[:, :, None] - sums[:, None, :]
    wanted = targets[:, :, None] - targets[:, None, :]
    ranking = (nn.functional.softplus(-2.0 * gaps) * wanted.clamp(min=0.0)).mean(dim=(1, 2))
    return (squared + ranking_weight * ranking).sum()


@torch.no_grad()
def link_table(link: nn.Module, *, reach: float = 8.0, points: int = 401) -> Floats:
    """Tabulate a monotone link: `(2, P)`, sums from `-reach` to `reach` and what they become."""
    sums = torch.linspace(-reach, reach, points)
    return np.stack([sums.numpy(), link(sums).numpy()]).astype(np.float64)


def identity_link() -> Floats:
    """Return the link `(1, 2, P)` of a single member whose score is already on the scale of the targets."""
    sums = np.linspace(-8.0, 8.0, 2)
    return np.stack([sums, sums])[None]


def linked(table: Floats, sums: Floats) -> Floats:
    """Apply a tabulated link to sums `(A,)`; beyond the table it goes on with the slope of its ends."""
    inner = np.interp(sums, table[0], table[1])
    slopes = np.diff(table[1])[[0, -1]] / np.diff(table[0])[[0, -1]]
    below, above = np.minimum(sums - table[0, 0], 0.0), np.maximum(sums - table[0, -1], 0.0)
    return np.asarray(inner + slopes[0] * below + slopes[1] * above)
