"""BN statistics of a sub-network, taken from reference images that walk the same path.

The super-network's own running statistics mix all paths and fit none. In an evaluation copy every BN layer is replaced
by `RecalibratedNorm`, which first sees the reference images in one batch and normalises them by that batch's
statistics, then normalises all other images by the same. As a statistic at depth `k` depends on the first `k` choices
alone, it is exact for every sub-network that shares them.

Legend: `C` channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

Statistics = list[tuple[torch.Tensor, torch.Tensor]]
"""Mean and biased variance `(C,)` of each BN layer of a module, in the order in which it runs them."""


class Recalibration:
    """Shared by the norms of one evaluation copy: where their statistics come from."""

    def __init__(self) -> None:
        self._collected: Statistics = []
        self._given: Iterator[tuple[torch.Tensor, torch.Tensor]] | None = None

    @contextmanager
    def collect(self) -> Iterator[Statistics]:
        """The batch is the reference images: take its statistics and return them."""
        self._given, self._collected = None, []
        yield self._collected

    @contextmanager
    def apply(self, statistics: Statistics) -> Iterator[None]:
        """Use statistics that were collected before."""
        self._given = iter(statistics)
        yield

    def statistics(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance for the next norm."""
        if self._given is not None:
            return next(self._given)
        mean, variance = torch.batch_norm_update_stats(features.float(), None, None, 0.0)
        self._collected.append((mean, variance))
        return mean, variance


class RecalibratedNorm(nn.Module):
    """Stands in for a BN layer and shares its affine parameters. `(B, C, ...)` -> `(B, C, ...)`."""

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm, recalibration: Recalibration) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.recalibration = recalibration

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise by the statistics of the reference images."""
        mean, variance = self.recalibration.statistics(features)
        return nn.functional.batch_norm(features, mean, variance, self.weight, self.bias, eps=self.eps)


def replace_norms(module: nn.Module, recalibration: Recalibration) -> None:
    """Replace every BN layer inside `module` in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(module, name, RecalibratedNorm(child, recalibration))
        else:
            replace_norms(child, recalibration)
