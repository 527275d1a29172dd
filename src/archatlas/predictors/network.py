"""The graph convolutional networks.

`WindowNetwork` passes messages along the chain, forward and backward with separate weights, and adds up one number
per node, so that a node sees exactly the window that its layers reach. `GlobalNetwork` joins all nodes to a global
node and reads out from that. Messages are summed, without degree normalisation. Both add a table of main effects.

Initial weights are scaled so that the network is already a useful random feature map: the read-out is then solved,
not learnt (see `ensemble`).

Legend: `A` architectures, `L` nodes, `O` operators, `H` hidden features, `F` read-out features.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import nn

from archatlas.predictors.encoding import Encoding

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # importing PyG compiles a class by a call that torch deprecates
    from torch_geometric.nn.dense import DenseGraphConv

EMBEDDING_STD = 0.3
"""Spread of operator and position embeddings beside attributes of spread 1: what is known of operators counts more."""


GAIN = 0.5
"""Variance of a layer's message weights, times `H`: three neighbours of it keep states of order 1."""


class NodeInputs(nn.Module):
    """Operator embedding + position embedding + stage embedding + projected attributes: `(L * O, H)`."""

    attributes: torch.Tensor
    stages: torch.Tensor

    def __init__(self, encoding: Encoding, hidden: int) -> None:
        super().__init__()
        length, operators, known = encoding.attributes.shape
        spread = EMBEDDING_STD if known else 1.0
        self.operator = nn.Parameter(torch.randn(operators, hidden) * spread)
        self.position = nn.Parameter(torch.randn(length, hidden) * EMBEDDING_STD)
        self.stage = nn.Parameter(torch.randn(max(encoding.stages) + 1, hidden) * EMBEDDING_STD)
        self.known = nn.Parameter(torch.randn(known, hidden) * math.sqrt(0.5 / max(1, known)))
        self.register_buffer("attributes", encoding.attributes)
        self.register_buffer("stages", torch.tensor(encoding.stages))

    def forward(self) -> torch.Tensor:
        """Return `(L * O, H)`."""
        rows = self.operator[None] + (self.position + self.stage[self.stages])[:, None] + self.attributes @ self.known
        return rows.flatten(0, 1)


class ChainLayer(nn.Module):
    """Forward messages + backward messages of `tanh(h)`, root included, each direction with its own weights."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.along = DenseGraphConv(hidden, hidden)
        self.against = DenseGraphConv(hidden, hidden)
        for convolution in (self.along, self.against):
            nn.init.normal_(convolution.lin_rel.weight, std=math.sqrt(GAIN / hidden))
            nn.init.normal_(convolution.lin_root.weight, std=math.sqrt(GAIN / 2 / hidden))
            nn.init.normal_(convolution.lin_rel.bias, std=0.2)

    def forward(self, states: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        """Return new states `(A, L, H)`."""
        active = torch.tanh(states)
        new: torch.Tensor = self.along(active, adjacency) + self.against(active, adjacency.T)
        return new


class MonotoneLink(nn.Module):
    """A strictly increasing function: a positive slope plus smooth steps of positive height."""

    centres: torch.Tensor

    def __init__(self, steps: int = 4) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))
        self.heights = nn.Parameter(torch.full((steps,), -5.0))
        self.register_buffer("centres", torch.linspace(-1.5, 1.5, steps))

    def forward(self, sums: torch.Tensor) -> torch.Tensor:
        """Return linked scores of the same shape."""
        steps = torch.tanh(sums[..., None] - self.centres) * nn.functional.softplus(self.heights)
        return sums * torch.exp(self.slope) + steps.sum(-1)


class WindowNetwork(nn.Module):
    """Sum over nodes of a read-out of states that have seen `layers` neighbours to either side."""

    adjacency: torch.Tensor

    def __init__(self, encoding: Encoding, *, hidden: int, layers: int) -> None:
        super().__init__()
        self.inputs = NodeInputs(encoding, hidden)
        self.layers = nn.ModuleList(ChainLayer(hidden) for _ in range(layers))
        self.effects = nn.Parameter(torch.zeros(len(encoding.num_choices) * encoding.num_operators))
        self.readout = nn.Parameter(torch.zeros(hidden))
        self.offset = nn.Parameter(torch.zeros(()))
        self.link = MonotoneLink()
        self.register_buffer("adjacency", encoding.adjacency)

    def features(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the features `(A, F)` that the read-out weighs, of rows `(A, L)` (see `Encoding.rows`)."""
        states = self.inputs()[rows]
        for layer in self.layers:
            states = layer(states, self.adjacency)
        return torch.tanh(states).sum(dim=-2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return sums `(A,)` of rows `(A, L)`, before the link."""
        return self.effects[rows].sum(-1) + self.features(rows) @ self.readout + self.offset


class GlobalNetwork(nn.Module):
    """Message passing along any graph, and a read-out of a global node that sees all nodes."""

    adjacency: torch.Tensor

    def __init__(self, encoding: Encoding, *, hidden: int, layers: int) -> None:
        super().__init__()
        self.inputs = NodeInputs(encoding, hidden)
        self.layers = nn.ModuleList(ChainLayer(hidden) for _ in range(layers))
        self.gather = nn.Linear(hidden, 2 * hidden)
        nn.init.normal_(self.gather.weight, std=math.sqrt(1.0 / hidden))
        nn.init.normal_(self.gather.bias, std=0.5)
        self.effects = nn.Parameter(torch.zeros(len(encoding.num_choices) * encoding.num_operators))
        self.readout = nn.Parameter(torch.zeros(2 * hidden))
        self.offset = nn.Parameter(torch.zeros(()))
        self.link = MonotoneLink()
        self.register_buffer("adjacency", encoding.adjacency)

    def features(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the features `(A, F)` that the read-out weighs, of rows `(A, L)` (see `Encoding.rows`)."""
        states = self.inputs()[rows]
        for layer in self.layers:
            states = layer(states, self.adjacency)
        pooled = torch.tanh(states).sum(dim=-2) / math.sqrt(states.shape[-2])
        whole: torch.Tensor = torch.tanh(self.gather(pooled))
        return whole

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return sums `(A,)` of rows `(A, L)`, before the link."""
        return self.effects[rows].sum(-1) + self.features(rows) @ self.readout + self.offset
