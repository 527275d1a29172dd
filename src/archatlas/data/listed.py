"""From a list of pictures, wherever they are read from, to a split data set: check, split, keep in memory or stream.

Legend: `N` images of a split, `C` channels, `R` resolution.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from archatlas.data.arrays import channel_statistics
from archatlas.data.augmentation import Normalisation
from archatlas.data.base import ImageData, Indices, Labels, digest_of
from archatlas.data.config import Augmentation, DataConfig
from archatlas.data.split import ImageSplit, MemoryPixels, refuse_crops
from archatlas.data.splitting import stratified_split
from archatlas.data.streaming import ReadPicture, StreamedPixels
from archatlas.errors import DataError

_SHARE = 0.15
_STATISTICS_IMAGES = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Images of one part: their names, in order, and their class indices."""

    names: tuple[str, ...]
    labels: tuple[int, ...]

    def take(self, rows: Indices) -> Names:
        """Return some of the images."""
        return Names(names=tuple(self.names[i] for i in rows), labels=tuple(self.labels[i] for i in rows))

    def without(self, names: Sequence[str]) -> Names:
        """Return all images but those named."""
        unwanted = set(names)
        return self.take(np.array([i for i, name in enumerate(self.names) if name not in unwanted], dtype=np.int64))

    @property
    def label_array(self) -> Labels:
        """Class indices, `(N,)`."""
        return np.array(self.labels, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What decoding an image showed.

    Args:
        grey: Whether all channels agree.
        side: Shorter side in pixels.
        error: Why it cannot be read; empty if it can.
    """

    grey: bool = True
    side: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Everything that is known of a data set before its pixels are read for training.

    Args:
        name: Of the data set.
        source: Where the images come from, for messages.
        parts: Images by part: `train` at least; `validation` and `test` where the source divides them.
        class_names: One per class.
        found: What each image is, by name.
        read: Reads an image by name; worker processes are given it.
        identity: Stands for the content of an image, by name.
    """

    name: str
    source: str
    parts: Mapping[str, Names]
    class_names: tuple[str, ...]
    found: Mapping[str, Found]
    read: ReadPicture
    identity: Callable[[str], int | str]


def open_listed(listed: Listed, config: DataConfig) -> ImageData:
    """Check, split and open images.

    Raises:
        DataError: If a class is empty or the only one, or images are broken and to be refused.
    """
    skipped = _broken(listed, config)
    readable = {part: names.without(skipped) for part, names in listed.parts.items()}
    _check_classes(readable["train"], listed.class_names)
    parts = split_names(readable, config, num_classes=len(listed.class_names))
    used = [listed.found[name] for names in parts.values() for name in names.names]
    channels = 1 if all(one.grey for one in used) else 3
    resolution = config.resolution or inferred_resolution([one.side for one in used])
    kept = parts_in_memory(parts, image_bytes=channels * resolution**2, memory_gib=config.memory_gib)
    augmentation = config.augmentation or _default_augmentation(resolution, streamed="train" not in kept)
    if "train" in kept:
        refuse_crops(augmentation)
    pixels: dict[str, MemoryPixels | StreamedPixels] = {}
    for part, names in parts.items():
        streamed = StreamedPixels(
            read=listed.read,
            names=names.names,
            resolution=resolution,
            channels=channels,
            workers=config.workers,
        )
        pixels[part] = MemoryPixels(streamed.read_all()) if part in kept else streamed
    mean, std = channel_statistics(_sample(pixels["train"]))
    normalisation = Normalisation(mean, std)
    splits = {
        part: ImageSplit(pixels[part], names.label_array, normalisation=normalisation, augmentation=augmentation)
        for part, names in parts.items()
    }
    rows = [
        (part, name, label, listed.identity(name))
        for part, names in parts.items()
        for name, label in zip(names.names, names.labels, strict=True)
    ]
    return ImageData(
        name=listed.name,
        **splits,
        num_classes=len(listed.class_names),
        channels=channels,
        resolution=resolution,
        mean=mean,
        std=std,
        class_names=listed.class_names,
        digest=digest_of([json.dumps([resolution, channels, rows]).encode()]),
        skipped=skipped,
    )


def inferred_resolution(sides: Sequence[int]) -> int:
    """Return the median shorter side, rounded down to a multiple of 8, from 8 to 224 pixels."""
    return int(np.clip(int(np.median(sides)) // 8 * 8, 8, 224))


def split_names(listed: Mapping[str, Names], config: DataConfig, *, num_classes: int) -> dict[str, Names]:
    """Return training, validation and test images; what the source does not divide is drawn from `train`.

    Args:
        listed: Images by part; `train` at least.
        config: Limits and seed.
        num_classes: Number of classes.
    """
    limits = {"validation": config.validation_images, "test": config.test_images}
    pool = listed["train"]
    share = max(num_classes, round(_SHARE * len(pool.names)))
    drawn = [part for part in ("test", "validation") if part not in listed]
    sizes = [*(limits[part] or share for part in drawn), config.train_images]
    rows = stratified_split(pool.label_array, sizes, num_classes=num_classes, seed=config.seed)
    parts = {part: pool.take(row) for part, row in zip([*drawn, "train"], rows, strict=True)}
    for part in limits.keys() & listed.keys():
        parts[part] = _limited(listed[part], part, limits[part], seed=config.seed)
    return {part: parts[part] for part in ("train", "validation", "test")}


def _limited(names: Names, part: str, limit: int | None, *, seed: int) -> Names:
    """Shuffle the images of a given part, and keep a stratified choice of them; classes may be missing in it."""
    if not names.names:
        raise DataError(f"The part {part} is given but holds no images. Fill it, or remove it to have images drawn.")
    _, dense = np.unique(names.label_array, return_inverse=True)
    (rows,) = stratified_split(dense, [limit], num_classes=int(dense.max()) + 1, seed=seed)
    return names.take(rows)


def _broken(listed: Listed, config: DataConfig) -> tuple[str, ...]:
    found = listed.found
    broken = tuple(name for name, one in found.items() if one.error)
    if broken and config.corrupt == "refuse":
        shown = "; ".join(f"{name} ({found[name].error})" for name in broken[:5]) + ("; ..." if broken[5:] else "")
        raise DataError(
            f"{len(broken)} of {len(found)} images in {listed.source} cannot be read: {shown}. Repair or remove them, "
            "or set `corrupt: skip`."
        )
    return broken


def _check_classes(names: Names, class_names: Sequence[str]) -> None:
    counts = np.bincount(names.label_array, minlength=len(class_names))
    if empty := [name for name, count in zip(class_names, counts, strict=True) if count == 0]:
        raise DataError(f"No readable training images of the class {', '.join(empty)}. Add images or remove the class.")
    if len(class_names) < 2:
        raise DataError(f"Expected at least two classes, got only {class_names[0]!r}. Add another class.")


def parts_in_memory(parts: Mapping[str, Names], *, image_bytes: int, memory_gib: float) -> frozenset[str]:
    """Return the parts that are kept in memory: what fits, validation and test first."""
    free = memory_gib * 2**30
    kept = set()
    for part in ("validation", "test", "train"):
        size = len(parts[part].names) * image_bytes
        if size <= free:
            free -= size
            kept.add(part)
    return frozenset(kept)


def _default_augmentation(resolution: int, *, streamed: bool) -> Augmentation:
    if streamed:
        return Augmentation(crop_scale=0.25, flip=True)
    return Augmentation(crop_padding=max(1, resolution // 8), flip=True)


def _sample(pixels: MemoryPixels | StreamedPixels) -> torch.Tensor:
    """Return all images in memory, or the first streamed ones; their order is random."""
    return pixels.images if isinstance(pixels, MemoryPixels) else pixels.read_all(limit=_STATISTICS_IMAGES)
