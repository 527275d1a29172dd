"""The space of NAS-Bench-Macro (Su et al., CVPR 2021): 8 blocks x 3 operators on 32x32 images.

Stages of 2, 3 and 3 blocks at 64, 128 and 256 channels, the first block of a stage with stride 2. Operators:
0 = identity (1x1 convolution + BN where the shape changes), 1 = MBConv expansion 3 kernel 3, 2 = MBConv expansion 6
kernel 5. 6,561 architectures, 3,969 distinct networks.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from archatlas.spaces.base import Block, ChainSpace
from archatlas.spaces.operators import IDENTITY, conv_stem, mbconv, pooled_head


def nas_bench_macro() -> ChainSpace:
    """Return the `nas-bench-macro` space."""
    operators = (IDENTITY, mbconv(3, 3, nn.ReLU), mbconv(6, 5, nn.ReLU))
    blocks = []
    channels = 32
    for out_channels, count in ((64, 2), (128, 3), (256, 3)):
        for i in range(count):
            stride = 2 if i == 0 else 1
            blocks.append(Block(in_channels=channels, out_channels=out_channels, stride=stride, operators=operators))
            channels = out_channels
    return ChainSpace(
        name="nas-bench-macro",
        resolution=32,
        in_channels=3,
        num_classes=10,
        stem=partial(conv_stem, channels=32),
        head=partial(pooled_head, in_channels=256, features=1280),
        blocks=tuple(blocks),
        segments=(4, 4),
    )
