"""The one implementation of `Split`, over pixels in memory or in files.

Legend: `N` images of a split, `B` images of a batch, `C` channels, `H` = `W` resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch

from archatlas.data.augmentation import Draws, Normalisation, Variation
from archatlas.data.base import (
    AUGMENT,
    Batch,
    Indices,
    Labels,
    batches_per_epoch,
    epoch_batches,
    ordered_ranges,
    random_stream,
    rank_part,
)
from archatlas.data.config import Augmentation
from archatlas.errors import ConfigError
from archatlas.records import frozen


class Pixels(Protocol):
    """Where the images of a split are read from."""

    def read(self, batches: Iterable[Indices], variation: Variation | None) -> Iterator[torch.Tensor]:
        """Yield uint8 images `(B, C, H, W)` on the CPU for each batch of indices.

        Args:
            batches: Index arrays `(B,)`.
            variation: Varies each image, and seeds random crops where the pixels can be cropped anew; None: the
                images as they are, or their centres.
        """


class MemoryPixels:
    """Images in one uint8 tensor `(N, C, H, W)`; there is nothing left to crop."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def read(self, batches: Iterable[Indices], variation: Variation | None) -> Iterator[torch.Tensor]:
        """Yield images by index; see `Pixels.read`."""
        for rows in batches:
            images = self.images[torch.from_numpy(rows)]
            yield images if variation is None else variation(images, rows)


def refuse_crops(augmentation: Augmentation) -> None:
    """Refuse random resized crops for images in memory, which are already cut to their resolution.

    Raises:
        ConfigError: If `crop_scale` is below 1.
    """
    if augmentation.crop_scale < 1:
        raise ConfigError(
            f"crop_scale {augmentation.crop_scale} needs images that are streamed, these are kept in memory. "
            "Use crop_padding, or for your own images set `memory_gib: 0`."
        )


class ImageSplit:
    """Batches of uint8 pixels, augmented and normalised on the device; see `Split`.

    Args:
        pixels: The images.
        labels: `(N,)`.
        normalisation: Applied to every batch.
        augmentation: Applied to the batches of `epoch`.
    """

    def __init__(
        self, pixels: Pixels, labels: Labels, *, normalisation: Normalisation, augmentation: Augmentation
    ) -> None:
        self.pixels = pixels
        self._labels = frozen(labels.astype(np.int64))
        self._targets = torch.tensor(self._labels)
        self._normalise = normalisation
        self._augmentation = augmentation

    def __len__(self) -> int:
        return len(self._labels)

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
        batches = epoch_batches(len(self), batch_size=batch_size, seed=seed, epoch=epoch, world_size=world_size)[start:]
        part = rank_part(len(batches[0]), rank, world_size) if batches else slice(0)
        read = self.pixels.read((rows[part] for rows in batches), self._variation(seed, epoch))
        for number, (rows, images) in enumerate(zip(batches, read, strict=True), start):
            stream = random_stream(AUGMENT, seed, epoch, number)
            draws = Draws.of_batch(len(rows), images.shape[3], self._augmentation, stream).part(part)
            varied = draws.apply(images.to(device, non_blocking=True))
            targets = self._targets[torch.from_numpy(rows[part])]
            yield draws.erase(self._normalise(varied)), targets.to(device, non_blocking=True)

    def _variation(self, seed: int, epoch: int) -> Variation:
        fill = tuple(round(255 * value) for value in self._normalise.mean)
        return Variation(
            seed=seed,
            epoch=epoch,
            crop_scale=self._augmentation.crop_scale,
            rand_augment=self._augmentation.rand_augment,
            fill=fill,
        )

    def ordered(
        self, *, batch_size: int, start: int = 0, stop: int | None = None, device: torch.device | str
    ) -> Iterator[Batch]:
        """Yield images `start` to `stop` in fixed order, without augmentation; see `Split.ordered`."""
        ranges = list(ordered_ranges(len(self), batch_size=batch_size, start=start, stop=stop))
        read = self.pixels.read((np.arange(rows.start, rows.stop) for rows in ranges), None)
        for rows, images in zip(ranges, read, strict=True):
            yield self._normalise(images.to(device)), self._targets[rows].to(device)

    def augmented(self, **changed: object) -> ImageSplit:
        """Return the same images with other values of some settings; see `Split.augmented`."""
        augmentation = Augmentation.model_validate(self._augmentation.model_dump() | changed)
        if isinstance(self.pixels, MemoryPixels):
            refuse_crops(augmentation)
        return ImageSplit(self.pixels, self._labels, normalisation=self._normalise, augmentation=augmentation)
