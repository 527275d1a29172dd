"""A depthwise convolution whose weight gradient is fast on small feature maps on a CPU.

On CPUs the convolution library falls back to a reference loop for the weight gradient of wide depthwise layers on maps
of a few pixels: 5 to 40 times slower than the sum over kernel taps below (one core, 768 or 1,536 channels, 2x2 and 4x4
maps), and most of the time of a training step at 16x16 resolution. Everywhere else this is `nn.Conv2d`, to the bit.

Legend: `B` images, `C` channels, `H`, `W` input size, `h`, `w` output size, `k` kernel, `s` stride.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_LARGEST_MAP = 16  # output pixels up to which the sum over taps wins


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` for `groups == in_channels == out_channels`, zero padding and dilation 1."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Convolve `(B, C, H, W)`."""
        (stride, _), (height, width) = self.stride, features.shape[-2:]
        small = -(-height // stride) * -(-width // stride) <= _LARGEST_MAP
        full = self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if small and self.training and self.weight.device.type == "cpu" and full:
            result: torch.Tensor = _Depthwise.apply(features, self.weight, stride, self.padding[0])
            return result
        return super().forward(features)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
        ctx.save_for_backward(features, weight)
        ctx.stride, ctx.padding = stride, padding
        return nn.functional.conv2d(features, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        features, weight = ctx.saved_tensors
        geometry = ([ctx.stride] * 2, [ctx.padding] * 2, [1, 1], False, [0, 0], len(weight))
        to_features, _, _ = torch.ops.aten.convolution_backward(
            gradient, features, weight, None, *geometry, [True, False, False]
        )
        return to_features, _weight_gradient(features, gradient, weight, ctx.stride, ctx.padding), None, None


def _weight_gradient(
    features: torch.Tensor, gradient: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
) -> torch.Tensor:
    """Return `(C, 1, k, k)`: for every tap, the sum over images and pixels of input times output gradient.

    Taps that only ever see the zero padding are skipped.
    """
    pixels = nn.functional.pad(features.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    gradient = gradient.permute(0, 2, 3, 1).contiguous()
    result = torch.zeros_like(weight)
    for i in range(weight.shape[2]):
        rows = _inside(features.shape[2], gradient.shape[1], i - padding, stride)
        for j in range(weight.shape[3]):
            columns = _inside(features.shape[3], gradient.shape[2], j - padding, stride)
            if rows and columns:
                seen = pixels[:, i + rows[0] * stride :: stride, j + columns[0] * stride :: stride]
                seen = seen[:, : len(rows), : len(columns)]
                part = gradient[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
                result[:, 0, i, j] = (seen * part).sum((0, 1, 2))
    return result


def _inside(size: int, out_size: int, offset: int, stride: int) -> range:
    """Return the output positions `o` with `0 <= o * stride + offset < size`."""
    first = max(0, -(offset // stride))
    last = min(out_size, (size - 1 - offset) // stride + 1)
    return range(first, last)
