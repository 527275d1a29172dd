"""From image arrays to a split data set in memory: shrink, split, measure mean and deviation, digest.

Legend: `N` images, `C` channels, `H` = `W` resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from archatlas.data.augmentation import Normalisation
from archatlas.data.base import ImageData, Indices, Labels, digest_of
from archatlas.data.config import Augmentation, DataConfig
from archatlas.data.split import ImageSplit, MemoryPixels, refuse_crops
from archatlas.data.splitting import stratified_split
from archatlas.errors import ConfigError

_CHUNK = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledImages:
    """Images with their classes.

    Args:
        images: `(N, C, H, W)`, uint8.
        labels: `(N,)`.
    """

    images: torch.Tensor
    labels: Labels

    def take(self, rows: Indices) -> LabelledImages:
        """Return some of the images."""
        return LabelledImages(images=self.images[torch.from_numpy(rows)], labels=self.labels[rows])

    def shrunk(self, resolution: int | None) -> LabelledImages:
        """Return the same images at a smaller resolution."""
        return LabelledImages(images=shrink(self.images, resolution), labels=self.labels)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """The three splits as arrays."""

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages


def shrink(images: torch.Tensor, resolution: int | None) -> torch.Tensor:
    """Return uint8 images at a smaller resolution: means of pixel blocks, or antialiased bilinear.

    Args:
        images: `(N, C, H, W)`, uint8, square.
        resolution: New side, at most `H`; None keeps the images as they are.

    Raises:
        ConfigError: If the images would have to grow.
    """
    native = images.shape[2]
    if resolution is None or resolution == native:
        return images
    if resolution > native:
        raise ConfigError(f"Expected a resolution of at most {native} (the images' own), got {resolution}. Lower it.")
    small = torch.empty(*images.shape[:2], resolution, resolution, dtype=torch.uint8)
    for first in range(0, len(images), _CHUNK):
        chunk = images[first : first + _CHUNK].to(torch.float32)
        if native % resolution == 0:
            chunk = functional.avg_pool2d(chunk, native // resolution)
        else:
            chunk = functional.interpolate(chunk, size=(resolution,) * 2, mode="bilinear", antialias=True)
        small[first : first + _CHUNK] = chunk.round_().clamp_(0, 255).to(torch.uint8)
    return small


def channel_statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation per channel of uint8 images `(N, C, H, W)`, as fractions of 255.

    They are exact (integer histograms). A channel that never changes gets the deviation 1, so it is only centred.
    """
    levels = np.arange(256) / 255.0
    mean, std = [], []
    for channel in range(images.shape[1]):
        counts = np.zeros(256, dtype=np.int64)
        for first in range(0, len(images), _CHUNK):
            counts += np.bincount(images[first : first + _CHUNK, channel].numpy().ravel(), minlength=256)
        share = counts / counts.sum()
        mean.append(float(share @ levels))
        deviation = float(np.sqrt(share @ (levels - mean[-1]) ** 2))
        std.append(deviation if deviation > 1e-4 else 1.0)
    return tuple(mean), tuple(std)


def split_pool(
    pool: LabelledImages, official_test: LabelledImages | None, config: DataConfig, *, validation: int, test: int
) -> Parts:
    """Shrink and split images as the config says; an official test set stays the test set.

    Args:
        pool: Everything that is not officially test.
        official_test: The official test set, if there is one.
        config: Limits, seed, resolution.
        validation: Validation images where the config names no number.
        test: Test images drawn from the pool where there is no official test set and the config names no number.
    """
    pool = pool.shrunk(config.resolution)
    num_classes = int(pool.labels.max()) + 1
    sizes = [config.validation_images or validation, config.train_images]
    if official_test is None:
        sizes = [config.test_images or test, *sizes]
    rows = stratified_split(pool.labels, sizes, num_classes=num_classes, seed=config.seed)
    if official_test is None:
        tested = pool.take(rows[0])
    else:
        picked = stratified_split(official_test.labels, [config.test_images], num_classes=num_classes, seed=config.seed)
        tested = official_test.shrunk(config.resolution).take(picked[0])
    return Parts(train=pool.take(rows[-1]), validation=pool.take(rows[-2]), test=tested)


def assemble(
    parts: Parts,
    *,
    name: str,
    class_names: Sequence[str],
    augmentation: Augmentation,
    skipped: Sequence[str] = (),
) -> ImageData:
    """Build the data set: splits, mean and deviation of the training images, digest of all."""
    refuse_crops(augmentation)
    images = {key: getattr(parts, key).images for key in ("train", "validation", "test")}
    labels = {key: getattr(parts, key).labels for key in images}
    mean, std = channel_statistics(images["train"])
    normalisation = Normalisation(mean, std)
    splits = {
        key: ImageSplit(MemoryPixels(images[key]), labels[key], normalisation=normalisation, augmentation=augmentation)
        for key in images
    }
    content = [images[key].numpy().reshape(-1).data for key in images] + [labels[key].data for key in images]
    shape = images["train"].shape
    return ImageData(
        name=name,
        **splits,
        num_classes=len(class_names),
        channels=shape[1],
        resolution=shape[2],
        mean=mean,
        std=std,
        class_names=tuple(class_names),
        digest=digest_of([str(tuple(shape[1:])).encode(), *content]),
        skipped=tuple(skipped),
    )
