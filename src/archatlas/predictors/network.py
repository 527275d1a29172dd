"""The graph convolutional networks.

`WindowNetwork` passes messages along the chain, forward and backward with separate weights, and adds up one number
per node, so that a node sees exactly the window that its layers reach. `GlobalNetwork` adds a node joined to all
others and a pooled read-out. Messages are summed, without degree normalisation.

Legend: `A` architectures, `L` nodes, `O` operators, `H` hidden features.
"""

from __future__ import annotations

import warnings

import torch
from torch import nn

from archatlas.predictors.encoding import Encoding

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # importing PyG compiles a class by a call that torch deprecates
    from torch_geometric.nn.dense import DenseGraphConv


class NodeInputs(nn.Module):
    """Operator embedding + position embedding + projected attributes, one row per node and operator: `(L * O, H)`."""

    attributes: torch.Tensor
    columns: torch.Tensor

    def __init__(self, encoding: Encoding, hidden: int) -> None:
        super().__init__()
        length, operators, known = encoding.attributes.shape
        self.operator = nn.Parameter(torch.randn(operators, hidden) * 0.5)
        self.position = nn.Parameter(torch.randn(length, hidden) * 0.5)
        self.known = nn.Linear(known, hidden) if known else nn.Identity()
        self.mix = nn.Sequential(nn.GELU(), nn.Linear(hidden, hidden))
        self.register_buffer("attributes", encoding.attributes)

    def forward(self) -> torch.Tensor:
        """Return `(L * O, H)`."""
        rows = self.operator[None] + self.position[:, None]
        if self.attributes.shape[-1]:
            rows = rows + self.known(self.attributes)
        table: torch.Tensor = self.mix(rows)
        return table.flatten(0, 1)


class ChainLayer(nn.Module):
    """`h + GELU(LayerNorm(forward messages + backward messages))`, each with its own weights."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.along = DenseGraphConv(hidden, hidden)
        self.against = DenseGraphConv(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)

    def forward(self, states: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        """Return new states `(A, L, H)`."""
        messages = self.along(states, adjacency) + self.against(states, adjacency.T)
        return self.update(states, messages)

    def update(self, states: torch.Tensor, messages: torch.Tensor) -> torch.Tensor:
        """Return the residual update of states by summed messages, any leading shape."""
        return states + nn.functional.gelu(self.norm(messages))


class MonotoneLink(nn.Module):
    """A strictly increasing function: a positive slope plus smooth steps of positive height."""

    centres: torch.Tensor

    def __init__(self, steps: int = 4) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))
        self.heights = nn.Parameter(torch.full((steps,), -3.0))
        self.register_buffer("centres", torch.linspace(-1.5, 1.5, steps))

    def forward(self, sums: torch.Tensor) -> torch.Tensor:
        """Return linked scores of the same shape."""
        steps = torch.tanh(sums[..., None] - self.centres) * nn.functional.softplus(self.heights)
        return sums * torch.exp(self.slope) + steps.sum(-1)


class WindowNetwork(nn.Module):
    """Sum over nodes of a small MLP on states that have seen `layers` neighbours to either side."""

    adjacency: torch.Tensor

    def __init__(self, encoding: Encoding, *, hidden: int, layers: int) -> None:
        super().__init__()
        self.inputs = NodeInputs(encoding, hidden)
        self.layers = nn.ModuleList(ChainLayer(hidden) for _ in range(layers))
        self.readout = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 1))
        _start_at_zero(self.readout)
        self.link = MonotoneLink()
        self.register_buffer("adjacency", encoding.adjacency)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return sums `(A,)` of rows `(A, L)` (see `Encoding.rows`), before the link."""
        states = self.inputs()[rows]
        for layer in self.layers:
            states = layer(states, self.adjacency)
        terms: torch.Tensor = self.readout(states)
        return terms.sum(dim=(-2, -1))


class GlobalNetwork(nn.Module):
    """Message passing along any graph with a global node, and a read-out of mean and global state."""

    adjacency: torch.Tensor

    def __init__(self, encoding: Encoding, *, hidden: int, layers: int) -> None:
        super().__init__()
        self.inputs = NodeInputs(encoding, hidden)
        self.layers = nn.ModuleList(ChainLayer(hidden) for _ in range(layers))
        self.gather = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.spread = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.readout = nn.Sequential(
            nn.LayerNorm(2 * hidden), nn.Linear(2 * hidden, hidden), nn.GELU(), nn.Linear(hidden, 1)
        )
        _start_at_zero(self.readout)
        self.link = MonotoneLink()
        self.register_buffer("adjacency", encoding.adjacency)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return scores `(A,)` of rows `(A, L)` (see `Encoding.rows`), before the link."""
        states = self.inputs()[rows]
        whole = states.mean(dim=-2)
        for layer, gather, spread in zip(self.layers, self.gather, self.spread, strict=True):
            states = layer(states, self.adjacency) + spread(whole)[..., None, :]
            whole = whole + nn.functional.gelu(gather(states.mean(dim=-2)))
        score: torch.Tensor = self.readout(torch.cat([states.mean(dim=-2), whole], dim=-1))
        return score.squeeze(-1)


def _start_at_zero(readout: nn.Sequential) -> None:
    """Let a network begin as the zero function, so that what it adds to the main effects has to be learnt."""
    last = readout[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
