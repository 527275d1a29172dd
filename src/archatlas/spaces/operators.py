"""Operators made of torchvision's building blocks, and the heads and stems of the built-in spaces."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from timm.layers import DropPath  # type: ignore[attr-defined]
from torch import nn
from torchvision.ops import Conv2dNormActivation

from archatlas.spaces.base import Operator
from archatlas.spaces.depthwise import DepthwiseConv2d


class InvertedResidual(nn.Module):
    """MBConv (Sandler et al. 2018): expand 1x1, depthwise `kernel`, project 1x1, each with BN.

    A residual where the stride is 1 and the channels agree; no squeeze-excitation.

    Shape: `(B, in, H, W)` -> `(B, out, H / stride, W / stride)`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        expansion: int,
        kernel: int,
        activation: type[nn.ReLU] | type[nn.ReLU6] = nn.ReLU6,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.layers = nn.Sequential(
            OrderedDict(
                expand=Conv2dNormActivation(in_channels, hidden, kernel_size=1, activation_layer=activation),
                depthwise=nn.Sequential(
                    DepthwiseConv2d(
                        hidden, hidden, kernel, stride=stride, padding=kernel // 2, groups=hidden, bias=False
                    ),
                    nn.BatchNorm2d(hidden),
                    activation(inplace=True),
                ),
                project=Conv2dNormActivation(hidden, out_channels, kernel_size=1, activation_layer=None),
            )
        )
        self.residual = stride == 1 and in_channels == out_channels
        self.drop_path = DropPath()  # see `ChainSpace.build`

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the transformed feature maps."""
        result: torch.Tensor = self.layers(features)
        return features + self.drop_path(result) if self.residual else result


def mbconv(expansion: int, kernel: int, activation: type[nn.ReLU] | type[nn.ReLU6] = nn.ReLU6) -> Operator:
    """Return an MBConv operator, named such as `mbconv_e3_k5`."""
    return Operator(
        name=f"mbconv_e{expansion}_k{kernel}",
        build=partial(InvertedResidual, expansion=expansion, kernel=kernel, activation=activation),
        attributes=(("expansion", float(expansion)), ("kernel", float(kernel))),
    )


def skip_or_project(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return a module that does nothing, or 1x1 convolution + BN where the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    project: nn.Module = Conv2dNormActivation(
        in_channels, out_channels, kernel_size=1, stride=stride, activation_layer=None
    )
    return project


IDENTITY = Operator(name="identity", build=skip_or_project)


def conv_stem(in_channels: int, *, channels: int, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    """Return a 3x3 convolution of stride 1 with BN and activation."""
    stem: nn.Module = Conv2dNormActivation(in_channels, channels, kernel_size=3, activation_layer=activation)
    return stem


def mobile_stem(in_channels: int, *, channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return MobileNet's stem: 3x3 convolution, then depthwise 3x3 and a linear 1x1, with BN and ReLU6."""
    layer = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)
    return nn.Sequential(
        layer(in_channels, channels, kernel_size=3, stride=stride),
        layer(channels, channels, kernel_size=3, groups=channels),
        Conv2dNormActivation(channels, out_channels, kernel_size=1, activation_layer=None),
    )


def pooled_head(
    num_classes: int, *, in_channels: int, features: int, activation: type[nn.Module] = nn.ReLU
) -> nn.Module:
    """Return 1x1 convolution to `features` with BN and activation, global average pooling, linear."""
    return nn.Sequential(
        Conv2dNormActivation(in_channels, features, kernel_size=1, activation_layer=activation),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(features, num_classes),
    )
