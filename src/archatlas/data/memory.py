"""Images in memory: one uint8 tensor, augmented and normalised in whole batches on the device.

Legend: `N` images of a split, `B` images of a batch, `C` channels, `H` = `W` resolution.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from archatlas.data.base import (
    AUGMENT,
    Batch,
    Labels,
    batches_per_epoch,
    epoch_batches,
    ordered_ranges,
    random_stream,
    rank_part,
)
from archatlas.data.config import Augmentation
from archatlas.records import frozen


class Normalisation:
    """Turns uint8 images into float32 with mean 0 and deviation 1 per channel.

    Args:
        mean: Per channel, as fraction of 255.
        std: Per channel, as fraction of 255.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self._scale = 1.0 / (255.0 * torch.tensor(std).view(1, -1, 1, 1))
        self._shift = -(torch.tensor(mean) / torch.tensor(std)).view(1, -1, 1, 1)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return normalised images `(B, C, H, W)`; the only float copy that is made."""
        scale, shift = self._scale.to(images.device), self._shift.to(images.device)
        return images.to(torch.float32).mul_(scale).add_(shift)


class MemorySplit:
    """A split held as one uint8 tensor.

    Args:
        images: `(N, C, H, W)`, uint8.
        labels: `(N,)`.
        normalisation: Applied to every batch.
        augmentation: Applied to the batches of `epoch`.
    """

    def __init__(
        self, images: torch.Tensor, labels: Labels, *, normalisation: Normalisation, augmentation: Augmentation
    ) -> None:
        self._images = images
        self._labels = frozen(labels.astype(np.int64))
        self._targets = torch.tensor(self._labels)
        self._normalise = normalisation
        self._augmentation = augmentation

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def images(self) -> torch.Tensor:
        """The raw images, `(N, C, H, W)`, uint8."""
        return self._images

    @property
    def labels(self) -> Labels:
        """Class index of every image, `(N,)`, in the order of `ordered`."""
        return self._labels

    def batches_per_epoch(self, batch_size: int) -> int:
        """Return the number of batches of `epoch`: full ones only, but at least one."""
        return batches_per_epoch(len(self), batch_size)

    def epoch(
        self,
        *,
        batch_size: int,
        seed: int,
        epoch: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str,
    ) -> Iterator[Batch]:
        """Yield shuffled, augmented batches; see `Split.epoch`."""
        batches = epoch_batches(
            len(self), batch_size=batch_size, seed=seed, epoch=epoch, start=start, world_size=world_size
        )
        for number, rows in batches:
            part = rank_part(len(rows), rank, world_size)
            draws = Draws.of_batch(len(rows), self._augmentation, random_stream(AUGMENT, seed, epoch, number))
            index = torch.from_numpy(rows[part])
            images = self._images[index].to(device, non_blocking=True)
            yield self._normalise(draws.part(part).apply(images)), self._targets[index].to(device, non_blocking=True)

    def ordered(
        self, *, batch_size: int, start: int = 0, stop: int | None = None, device: torch.device | str
    ) -> Iterator[Batch]:
        """Yield images `start` to `stop` in fixed order, without augmentation; see `Split.ordered`."""
        for rows in ordered_ranges(len(self), batch_size=batch_size, start=start, stop=stop):
            yield self._normalise(self._images[rows].to(device)), self._targets[rows].to(device)


class Draws:
    """The random choices of a batch: shifts `(B, 2)` in 0..2 * padding, and flips `(B,)`.

    They are drawn on the CPU for the whole batch, so neither the device nor the number of ranks changes them.
    """

    def __init__(self, padding: int, shifts: torch.Tensor | None, flips: torch.Tensor | None) -> None:
        self._padding, self._shifts, self._flips = padding, shifts, flips

    @classmethod
    def of_batch(cls, size: int, augmentation: Augmentation, stream: np.random.Generator) -> Draws:
        """Draw for `size` images."""
        padding = augmentation.crop_padding
        shifts = torch.from_numpy(stream.integers(0, 2 * padding + 1, size=(size, 2))) if padding else None
        flips = torch.from_numpy(stream.integers(0, 2, size=size).astype(bool)) if augmentation.flip else None
        return cls(padding, shifts, flips)

    def part(self, part: slice) -> Draws:
        """Return the choices of some of the images."""
        shifts = None if self._shifts is None else self._shifts[part]
        return Draws(self._padding, shifts, None if self._flips is None else self._flips[part])

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Shift (zeros come in) and flip uint8 images `(B, C, H, W)`."""
        if self._shifts is not None:
            images = _shifted(images, self._shifts.to(images.device), self._padding)
        if self._flips is not None:
            images = torch.where(self._flips.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
        return images


def _shifted(images: torch.Tensor, shifts: torch.Tensor, padding: int) -> torch.Tensor:
    height, width = images.shape[2:]
    padded = functional.pad(images, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2p + 1, 2p + 1, H, W), a view
    return windows[torch.arange(len(images), device=images.device), :, shifts[:, 0], shifts[:, 1]]
