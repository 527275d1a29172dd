"""Spaces of MBConv chains: the paper's ImageNet space (FairNAS) and a smaller one for 32x32 images.

Operators 0..5 of both: expansion 3 with kernel 3, 5, 7, then expansion 6 with kernel 3, 5, 7.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from archatlas.spaces.base import Block, ChainSpace
from archatlas.spaces.operators import mbconv, mobile_stem, pooled_head

_OPERATORS = tuple(mbconv(expansion, kernel) for expansion in (3, 6) for kernel in (3, 5, 7))


def _blocks(in_channels: int, stages: tuple[tuple[int, int, int], ...]) -> tuple[Block, ...]:
    blocks = []
    for out_channels, count, stride in stages:
        for i in range(count):
            blocks.append(
                Block(
                    in_channels=in_channels,
                    out_channels=out_channels,
                    stride=stride if i == 0 else 1,
                    operators=_OPERATORS,
                )
            )
            in_channels = out_channels
    return tuple(blocks)


def fairnas() -> ChainSpace:
    """Return the `fairnas` space (Chu et al. 2021; the paper's): 19 blocks x 6 operators, 6^19 architectures."""
    stages = ((32, 2, 2), (40, 4, 2), (80, 4, 2), (96, 4, 1), (192, 4, 2), (320, 1, 1))
    return ChainSpace(
        name="fairnas",
        resolution=224,
        in_channels=3,
        num_classes=1000,
        stem=partial(mobile_stem, channels=32, out_channels=16, stride=2),
        head=partial(pooled_head, in_channels=320, features=1280, activation=nn.ReLU6),
        blocks=_blocks(16, stages),
        segments=(7, 6, 6),
    )


def mobile_cifar() -> ChainSpace:
    """Return the `mobile-cifar` space: 12 blocks x 6 operators for 32x32 images, 6^12 architectures."""
    return ChainSpace(
        name="mobile-cifar",
        resolution=32,
        in_channels=3,
        num_classes=10,
        stem=partial(mobile_stem, channels=32, out_channels=16, stride=1),
        head=partial(pooled_head, in_channels=160, features=640, activation=nn.ReLU6),
        blocks=_blocks(16, ((24, 3, 1), (40, 3, 2), (80, 3, 2), (160, 3, 2))),
        segments=(6, 6),
    )
