"""Reading images in worker processes, always in the same order and with the same crops.

Legend: `B` images of a batch, `C` channels, `R` resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from archatlas.data.augmentation import Variation
from archatlas.data.base import CROP, Indices, random_stream
from archatlas.data.pictures import UnreadableError, centre_box, random_box, square_pixels
from archatlas.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

ReadPicture = Callable[[str], Image.Image]
"""Reads an image by name as `L` or `RGB`; raises `UnreadableError`."""

_BATCH = 64


class _Calls(Dataset[Result], Generic[Item, Result]):
    """Makes a data set of a function: entry `i` is its value for item `i`."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._function, self._items = function, items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Result:
        return self._function(self._items[index])


def _unchanged(result: Result) -> Result:
    return result


def in_workers(function: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> Iterator[Result]:
    """Yield the function's value for each item in order, computed ahead by `workers` processes (0: by this one)."""
    loader = DataLoader(
        _Calls(function, items),
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=workers,
        generator=torch.Generator(),  # else the loader would draw from the global one
    )
    yield from loader


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadBatch:
    """Reads some of a list of images; a function that worker processes can be given."""

    read: ReadPicture
    names: tuple[str, ...]
    resolution: int
    channels: int
    variation: Variation | None = None

    def __call__(self, rows: Indices) -> torch.Tensor | str:
        """Return pixels `(B, C, R, R)`, or why there are none: errors lose their shape between processes."""
        pixels = []
        for index in rows.tolist():
            try:
                pixels.append(self._pixels(index))
            except UnreadableError as error:
                return f"{self.names[index]} can no longer be read: {error}. Restore it and run again."
        images = torch.stack(pixels)
        return images if self.variation is None else self.variation(images, rows)

    def _pixels(self, index: int) -> torch.Tensor:
        picture = self.read(self.names[index])
        if self.variation is None or self.variation.crop_scale == 1:
            box = centre_box(*picture.size)
        else:
            stream = random_stream(CROP, self.variation.seed, self.variation.epoch, index)
            box = random_box(*picture.size, scale=self.variation.crop_scale, stream=stream)
        return square_pixels(picture, box, resolution=self.resolution, channels=self.channels)


class StreamedPixels:
    """Images read each time they are asked for.

    Args:
        read: Reads an image by its name.
        names: Name of each image.
        resolution: `R`; the shorter side is scaled to it and the centre cut out, or a random box.
        channels: `C`.
        workers: Reading processes.
    """

    def __init__(
        self,
        *,
        read: ReadPicture,
        names: Sequence[str],
        resolution: int,
        channels: int,
        workers: int,
    ) -> None:
        self._read_batch = _ReadBatch(read=read, names=tuple(names), resolution=resolution, channels=channels)
        self._workers = workers

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each image."""
        return self._read_batch.names

    def read(self, batches: Iterable[Indices], variation: Variation | None) -> Iterator[torch.Tensor]:
        """Yield uint8 images `(B, C, R, R)`; see `Pixels.read`.

        Raises:
            DataError: If an image has become unreadable.
        """
        function = replace(self._read_batch, variation=variation)
        for result in in_workers(function, list(batches), workers=self._workers):
            if isinstance(result, str):
                raise DataError(result)
            yield result

    def read_all(self, limit: int | None = None) -> torch.Tensor:
        """Return the centres of the first `limit` images (None: of all) as one uint8 tensor `(N, C, R, R)`."""
        rows = np.arange(len(self.names))[:limit]
        one = self._read_batch
        images = torch.empty(len(rows), one.channels, one.resolution, one.resolution, dtype=torch.uint8)
        batches = [rows[first : first + _BATCH] for first in range(0, len(rows), _BATCH)]
        for part, pixels in zip(batches, self.read(batches, None), strict=True):
            images[part] = pixels
        return images
