"""A space of your own: five blocks of different operator sets, a new operator, and attention.

archatlas space check docs/examples/own_space.py
archatlas init --space docs/examples/own_space.py --data ./images
python docs/examples/own_space.py            # count, sample and price it
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from timm.layers import DropPath
from torch import nn
from torch.nn import functional
from torchvision.ops import Conv2dNormActivation

from archatlas.spaces import Block, ChainSpace, Operator
from archatlas.spaces.operators import IDENTITY, conv_stem, mbconv, pooled_head


class Ghost(nn.Module):
    """A new operator (Han et al. 2020): half of the channels by convolution, half by depthwise convolution of those."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, kernel: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.costly = Conv2dNormActivation(in_channels, half, kernel, stride)
        self.cheap = Conv2dNormActivation(half, out_channels - half, 3, groups=half)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return `(B, out, H / stride, W / stride)`."""
        half = self.costly(features)
        return torch.cat([half, self.cheap(half)], dim=1)


class Attention(nn.Module):
    """Every pixel looks at all others; for blocks that keep channels and size."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, heads: int) -> None:
        super().__init__()
        if in_channels != out_channels or stride != 1:
            raise ValueError("attention keeps channels and size")
        self.heads = heads
        self.normalise = nn.BatchNorm2d(in_channels)
        self.qkv = nn.Conv2d(in_channels, 3 * in_channels, 1)
        self.project = nn.Conv2d(in_channels, in_channels, 1)
        self.drop_path = DropPath()  # with this, the retraining setting `drop_path` counts for the operator

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return `(B, C, H, W)`."""
        qkv = self.qkv(self.normalise(features)).unflatten(1, (3, self.heads, -1)).flatten(4)  # (B, 3, heads, c, H * W)
        query, key, value = qkv.transpose(3, 4).unbind(1)
        seen = functional.scaled_dot_product_attention(query, key, value)  # (B, heads, H * W, c)
        return features + self.drop_path(self.project(seen.transpose(2, 3).reshape(features.shape)))


def ghost(kernel: int) -> Operator:
    """Return a ghost operator; its attributes let the predictor share strength between blocks."""
    return Operator(
        name=f"ghost_k{kernel}", build=partial(Ghost, kernel=kernel), attributes=(("kernel", float(kernel)),)
    )


def attention(heads: int) -> Operator:
    """Return an attention operator."""
    return Operator(
        name=f"attention_h{heads}", build=partial(Attention, heads=heads), attributes=(("heads", float(heads)),)
    )


def space() -> ChainSpace:
    """Return the space; archatlas calls this. Image channels, classes and resolution follow the data."""
    blocks = (
        (16, 24, 2, (mbconv(2, 3), mbconv(4, 3))),
        (24, 24, 1, (IDENTITY, ghost(3), mbconv(3, 5))),
        (24, 32, 2, (ghost(3), ghost(5), mbconv(3, 3))),
        (32, 32, 1, (IDENTITY, attention(2), attention(4), mbconv(3, 3))),
        (32, 48, 1, (ghost(3), mbconv(3, 3))),
    )
    return ChainSpace(
        name="own-space",
        resolution=32,
        in_channels=3,
        num_classes=10,
        stem=partial(conv_stem, channels=16),
        head=partial(pooled_head, in_channels=48, features=96),
        blocks=tuple(Block(in_channels=i, out_channels=o, stride=s, operators=ops) for i, o, s, ops in blocks),
        segments=(3, 2),
    )


def main() -> None:
    """Count, sample and price the space."""
    from archatlas.costs.macs import count_costs
    from archatlas.records import format_architecture

    mine = space()
    costs = count_costs(mine)
    print(f"{mine.size} networks: {' x '.join(map(str, mine.num_choices))}")
    for row in mine.sample(3, np.random.default_rng(0)).tolist():
        architecture = tuple(row)
        priced = ", ".join(f"{name} {table.of(architecture):,.0f}" for name, table in costs.items())
        print(f"{format_architecture(architecture)}  {priced}")


if __name__ == "__main__":
    main()
