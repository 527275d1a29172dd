"""The cell of NAS-Bench-201 (Dong & Yang, ICLR 2020) as a graph: its six edges are the nodes, with five operators each.

Edge order is (0->1), (0->2), (1->2), (0->3), (1->3), (2->3); operators 0 none, 1 skip, 2 convolution 1x1, 3 convolution
3x3, 4 average pooling 3x3. A network stacks five cells at each of three widths. The space is here for predictors and
benchmarks: it is a cell, not a chain, and is not trained by this package.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torchvision.ops import Conv2dNormActivation

from archatlas.records import CostTable
from archatlas.spaces.base import Operator
from archatlas.spaces.graph import SpaceGraph

CELL_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""The nodes of the graph: edges of the cell from feature map to feature map."""

CELL_SHAPES = ((16, 32), (32, 16), (64, 8))
"""Channels and resolution of the three stages, for 32x32 images."""

CELLS_PER_STAGE = 5


class Zero(nn.Module):
    """Outputs zero."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return zeros of the same shape."""
        return torch.zeros_like(features)


def _none(_in_channels: int, _out_channels: int, _stride: int) -> nn.Module:
    return Zero()


def _skip(_in_channels: int, _out_channels: int, _stride: int) -> nn.Module:
    return nn.Identity()


def _convolution_1x1(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    module: nn.Module = Conv2dNormActivation(in_channels, out_channels, kernel_size=1, stride=stride)
    return module


def _convolution_3x3(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    module: nn.Module = Conv2dNormActivation(in_channels, out_channels, kernel_size=3, stride=stride)
    return module


def _pool(_in_channels: int, _out_channels: int, stride: int) -> nn.Module:
    return nn.AvgPool2d(3, stride=stride, padding=1)


CELL_OPERATORS = (
    Operator(name="none", build=_none, attributes=(("kernel", 0.0), ("zero", 1.0), ("weights", 0.0))),
    Operator(name="skip", build=_skip, attributes=(("kernel", 1.0), ("zero", 0.0), ("weights", 0.0))),
    Operator(name="conv1x1", build=_convolution_1x1, attributes=(("kernel", 1.0), ("zero", 0.0), ("weights", 1.0))),
    Operator(name="conv3x3", build=_convolution_3x3, attributes=(("kernel", 3.0), ("zero", 0.0), ("weights", 1.0))),
    Operator(name="avgpool3x3", build=_pool, attributes=(("kernel", 3.0), ("zero", 0.0), ("weights", 0.0))),
)


def cell_graph(costs: Mapping[str, CostTable]) -> SpaceGraph:
    """Return the graph of the cell; an edge of the graph leads from each cell edge to those that it feeds."""
    names = tuple(name for name, _ in CELL_OPERATORS[0].attributes)
    attributes = np.array([[value for _, value in operator.attributes] for operator in CELL_OPERATORS])
    idle = tuple(operator.name in ("none", "skip") for operator in CELL_OPERATORS)
    count = len(CELL_EDGES)
    return SpaceGraph(
        name="nasbench201",
        num_choices=(len(CELL_OPERATORS),) * count,
        edges=tuple((i, j) for i, a in enumerate(CELL_EDGES) for j, b in enumerate(CELL_EDGES) if a[1] == b[0]),
        stages=(0,) * count,
        attribute_names=names,
        attributes=(attributes,) * count,
        no_ops=(idle,) * count,
        costs=dict(costs),
    )
