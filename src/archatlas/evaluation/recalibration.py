"""BN statistics of a sub-network, taken from reference images that ride in the same batch.

The super-network's own running statistics mix all paths and fit none. In an evaluation copy every BN layer is replaced
by `RecalibratedNorm`, which normalises by the batch statistics of the first `R` images of the batch, the reference
images. As a statistic at depth `k` depends on the first `k` choices alone, it is exact for every sub-network that
shares them.

Legend: `R` reference images, `B` images in all, `C` channels.
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
        self.num_reference = 0
        self._collected: Statistics = []
        self._given: Iterator[tuple[torch.Tensor, torch.Tensor]] | None = None

    @contextmanager
    def collect(self, num_reference: int) -> Iterator[Statistics]:
        """Take statistics from the first `num_reference` images of each batch and return them."""
        self.num_reference, self._given, self._collected = num_reference, None, []
        yield self._collected

    @contextmanager
    def apply(self, statistics: Statistics) -> Iterator[None]:
        """Use statistics that were collected before; the batch holds no reference images."""
        self._given = iter(statistics)
        yield

    def statistics(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance for the next norm."""
        if self._given is not None:
            return next(self._given)
        reference = features[: self.num_reference].float()
        mean, variance = torch.batch_norm_update_stats(reference, None, None, 0.0)
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
