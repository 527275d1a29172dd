"""BN over several processes: statistics of the whole batch, not of each process's part.

torch's `SyncBatchNorm` runs on GPUs alone. `SynchronisedNorm` does the same on CPUs, so that two processes on any
device train like one with the same batch.

Legend: `B` images of this process's part, `C` channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class SynchronisedNorm(nn.modules.batchnorm._BatchNorm):
    """Stands in for a BN layer and shares its parameters and statistics. `(B, C, ...)` -> `(B, C, ...)`.

    Every process must call it at the same time with a part of the same size.
    """

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self._parameters.update(norm._parameters)
        self._buffers.update(norm._buffers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise by the statistics of all parts."""
        if not self.training:
            return super().forward(features)
        dims = [0, *range(2, features.ndim)]
        values = features.float()
        count = torch.distributed.get_world_size() * values.numel() // values.shape[1]
        mean = _summed(values.sum(dims)) / count
        centred = values - _spread(mean, values)
        variance = _summed(centred.square().sum(dims)) / count
        self._follow(mean.detach(), variance.detach() * count / max(1, count - 1))
        normal = centred * _spread(torch.rsqrt(variance + self.eps), values)
        if self.affine:
            normal = normal * _spread(self.weight, values) + _spread(self.bias, values)
        return normal.to(features.dtype)

    @torch.no_grad()
    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Update the running statistics, by momentum or, without one, as the plain average of all batches."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)

    def _check_input_dim(self, input: torch.Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected (B, C, ...), got {tuple(input.shape)}")


def synchronise_norms(module: nn.Module, device: torch.device) -> None:
    """Replace every BN layer inside `module` in place; names and tensors of its state stay the same."""
    for name, child in module.named_children():
        if not isinstance(child, nn.modules.batchnorm._BatchNorm):
            synchronise_norms(child, device)
        elif device.type == "cuda":
            setattr(module, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))  # type: ignore[no-untyped-call]
        else:
            setattr(module, name, SynchronisedNorm(child))


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_: Any, part: torch.Tensor) -> torch.Tensor:
        total = part.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: torch.Tensor) -> torch.Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total


def _summed(part: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor = _Sum.apply(part)
    return total


def _spread(channels: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    return channels.view(1, -1, *[1] * (features.ndim - 2))
