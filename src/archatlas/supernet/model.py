"""The weight-sharing super-network."""

from __future__ import annotations

import copy

import torch
from torch import nn

from archatlas.records import Architecture
from archatlas.spaces import ChainNetwork, ChainSpace


class SuperNet(nn.Module):
    """Holds every operator of every block once. The architecture is an argument of each call, never a state.

    Args:
        space: The space, already adapted to the task.
    """

    def __init__(self, space: ChainSpace) -> None:
        super().__init__()
        self.space = space
        self.stem = space.stem(space.in_channels)
        self.blocks = nn.ModuleList(
            nn.ModuleList(block.build(o) for o in range(len(block.operators))) for block in space.blocks
        )
        self.head = space.head(space.num_classes)

    def operator(self, block: int, choice: int) -> nn.Module:
        """Return the shared module of one operator of one block."""
        operators = self.blocks[block]
        assert isinstance(operators, nn.ModuleList)
        return operators[choice]

    def forward(self, images: torch.Tensor, architecture: Architecture) -> torch.Tensor:
        """Return logits `(B, classes)` of the sub-network `architecture` for images `(B, C, H, W)`.

        Raises:
            InvalidArchitectureError: If the space does not hold the architecture.
        """
        self.space.validate(architecture)
        features = self.stem(images)
        for block, choice in enumerate(architecture):
            features = self.operator(block, choice)(features)
        logits: torch.Tensor = self.head(features)
        return logits

    def extract(self, architecture: Architecture) -> ChainNetwork:
        """Return a stand-alone copy of a sub-network: the same weights, the same outputs, nothing shared."""
        self.space.validate(architecture)
        blocks = [copy.deepcopy(self.operator(block, choice)) for block, choice in enumerate(architecture)]
        return ChainNetwork(copy.deepcopy(self.stem), blocks, copy.deepcopy(self.head))
