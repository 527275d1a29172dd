"""The contract of image data.

Legend: `N` images of a split, `B` images of a batch, `C` channels, `H` = `W` resolution. Everything random is a pure
function of counters (seed, epoch, batch or image number): no random state is kept, read or changed, so training can
stop anywhere and continue from a batch number alone.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from archatlas.errors import ConfigError, DataError

Labels = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]
Batch = tuple[torch.Tensor, torch.Tensor]
"""Normalised float32 images `(B, C, H, W)` and int64 labels `(B,)`, on the device asked for."""


class Split(Protocol):
    """Training, validation or test images.

    The order of a split is shuffled once by the seed of the data, so its first images are a fair sample of it.
    """

    def __len__(self) -> int:
        """Return the number of images `N`."""

    @property
    def labels(self) -> Labels:
        """Class index of every image, `(N,)`, in the order of `ordered`."""

    def batches_per_epoch(self, batch_size: int) -> int:
        """Return the number of batches of `epoch`: full ones only, but at least one."""

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
        """Yield shuffled, augmented batches: a pure function of seed, epoch and batch number.

        Args:
            batch_size: Images per step, over all ranks; a multiple of `world_size`.
            seed: Seed of the training run.
            epoch: Number of the epoch, from 0.
            start: First batch to yield; what follows is exactly what a run from batch 0 would have seen.
            rank: Which of `world_size` equal consecutive parts of every batch to yield.
            world_size: Number of training processes.
            device: Where the tensors live.
        """

    def ordered(
        self, *, batch_size: int, start: int = 0, stop: int | None = None, device: torch.device | str
    ) -> Iterator[Batch]:
        """Yield images `start` to `stop` (exclusive; None: to the end) in fixed order, without augmentation."""

    def augmented(self, **changed: object) -> Split:
        """Return the same images with other values of some settings of `Augmentation`.

        Raises:
            ConfigError: If images in memory are to be cropped anew (`crop_scale` below 1).
        """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageData:
    """A data set, split and ready to train on.

    Args:
        name: Name of the data set.
        train: Images that weights are trained on.
        validation: Images that the search scores with.
        test: Images that only the final network sees, once.
        num_classes: Number of classes.
        channels: 1 (grey) or 3.
        resolution: Side of the square images in pixels.
        mean: Per channel, of the training images, as fraction of full brightness.
        std: Per channel, likewise; never 0.
        class_names: One per class.
        digest: 12 hex digits that stand for the images of each split, their order and the resolution.
        skipped: Files of a folder that could not be read and were left out.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    channels: int
    resolution: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    digest: str
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.num_classes < 2 or len(self.class_names) != self.num_classes:
            raise DataError(f"Expected at least two classes, each with a name, got {self.class_names}.")
        if not len(self.mean) == len(self.std) == self.channels:
            raise DataError(f"Expected a mean and a std for each of {self.channels} channels.")

    def summary(self) -> dict[str, Any]:
        """Return what a run records of its data, ready for JSON."""
        return {
            "name": self.name,
            "digest": self.digest,
            "images": {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)},
            "resolution": self.resolution,
            "channels": self.channels,
            "mean": list(self.mean),
            "std": list(self.std),
            "class_names": list(self.class_names),
            "images_per_class": {
                name: np.bincount(split.labels, minlength=self.num_classes).tolist()
                for name, split in (("train", self.train), ("validation", self.validation), ("test", self.test))
            },
            "skipped": list(self.skipped),
        }


SPLIT, SHUFFLE, AUGMENT, CROP, POLICY, MIX, STEP = range(7)
"""Purposes of random numbers, so that streams with equal counters differ."""


def random_stream(purpose: int, *counters: int) -> np.random.Generator:
    """Return the generator of one purpose and its counters (at most three, each >= 0)."""
    return np.random.default_rng((purpose, *counters))


def random_seed(purpose: int, *counters: int) -> int:
    """Return a seed of 32 bits for other people's generators; see `random_stream`."""
    return int(np.random.SeedSequence((purpose, *counters)).generate_state(1)[0])


@contextmanager
def borrowed_generators() -> Iterator[Callable[[int], None]]:
    """Yield a function that seeds the global generators of `random` and numpy; restore both at the end.

    timm's augmentation draws from them and takes no generator of its own.
    """

    def seed(number: int) -> None:
        random.seed(number)
        np.random.seed(number)

    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield seed
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def batches_per_epoch(num_images: int, batch_size: int) -> int:
    """Return the number of full batches, or 1 where not even one is full."""
    if batch_size < 1:
        raise ConfigError(f"Expected a batch size of at least 1, got {batch_size}.")
    return max(1, num_images // batch_size)


def epoch_batches(num_images: int, *, batch_size: int, seed: int, epoch: int, world_size: int) -> list[Indices]:
    """Return the image indices of every global batch of an epoch; their number divides by `world_size`."""
    if batch_size % world_size:
        raise ConfigError(f"Batch size {batch_size} must be a multiple of the {world_size} training processes.")
    if num_images < world_size:
        raise DataError(f"{num_images} training images cannot be shared by {world_size} processes.")
    order = random_stream(SHUFFLE, seed, epoch).permutation(num_images)
    size = min(batch_size, num_images - num_images % world_size)
    return [order[n * size : (n + 1) * size] for n in range(batches_per_epoch(num_images, batch_size))]


def rank_part(length: int, rank: int, world_size: int) -> slice:
    """Return the part of a global batch that one rank works on."""
    share = length // world_size
    return slice(rank * share, (rank + 1) * share)


def ordered_ranges(num_images: int, *, batch_size: int, start: int, stop: int | None) -> Iterator[slice]:
    """Yield consecutive ranges of at most `batch_size` images."""
    end = num_images if stop is None else min(stop, num_images)
    for first in range(start, end, batch_size):
        yield slice(first, min(first + batch_size, end))


def digest_of(parts: Iterable[bytes | memoryview]) -> str:
    """Return 12 hex digits of the SHA-256 of length-prefixed parts."""
    hasher = hashlib.sha256()
    for part in parts:
        view = memoryview(part)
        hasher.update(view.nbytes.to_bytes(8, "little"))
        hasher.update(view)
    return hasher.hexdigest()[:12]
