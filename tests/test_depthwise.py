"""The depthwise convolution equals torch's, forward and backward."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from archatlas.spaces.depthwise import DepthwiseConv2d


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [c for c in itertools.product([1, 2, 3, 4, 5, 7, 8], [3, 5, 7], [1, 2])],
)
def test_values_and_gradients_equal_torch(size: int, kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    ours = DepthwiseConv2d(6, 6, kernel, stride=stride, padding=kernel // 2, groups=6, bias=False)
    theirs = nn.Conv2d(6, 6, kernel, stride=stride, padding=kernel // 2, groups=6, bias=False)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(3, 6, size, size)
    results = []
    for layer in (ours, theirs):
        features = images.clone().requires_grad_()
        output = layer(features)
        output.square().sum().backward()
        results.append((output, features.grad, layer.weight.grad))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_mixed_precision_trains_on_small_maps() -> None:
    layer = DepthwiseConv2d(4, 4, 3, padding=1, groups=4, bias=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(torch.ones(2, 4, 2, 2))
    output.float().sum().backward()
    assert output.dtype == torch.bfloat16
    assert layer.weight.grad is not None
    assert layer.weight.grad[0, 0, 1, 1] == 8  # the centre tap sees two images of four pixels
