"""The embedded default: a small space for 8x8 grey digits, 6 blocks x 3 operators."""

from __future__ import annotations

from functools import partial

from torch import nn

from archatlas.spaces.base import Block, ChainSpace
from archatlas.spaces.operators import IDENTITY, conv_stem, mbconv, pooled_head


def digits() -> ChainSpace:
    """Return the `digits` space: 729 architectures, minutes on two cores."""
    operators = (IDENTITY, mbconv(2, 3, nn.ReLU), mbconv(4, 5, nn.ReLU))
    shapes = [(16, 24, 1), (24, 24, 1), (24, 24, 1), (24, 48, 2), (48, 48, 1), (48, 48, 1)]
    return ChainSpace(
        name="digits",
        resolution=8,
        in_channels=1,
        num_classes=10,
        stem=partial(conv_stem, channels=16),
        head=partial(pooled_head, in_channels=48, features=128),
        blocks=tuple(Block(in_channels=i, out_channels=o, stride=s, operators=operators) for i, o, s in shapes),
        segments=(3, 3),
    )
