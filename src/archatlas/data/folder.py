"""A user's own images: a directory of class folders, with or without `train/`, `val/` and `test/` above them.

```
images/cat/1.png ...              images/train/cat/1.png ...
images/dog/7.jpg ...       or     images/val/cat/2.png ...
                                  images/test/dog/3.png ...
```

Parts that are missing are drawn from the training images.

Legend: `N` images of a split, `C` channels, `R` resolution.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from archatlas.data.arrays import channel_statistics, refuse_crops
from archatlas.data.augmentation import Normalisation
from archatlas.data.base import ImageData, digest_of
from archatlas.data.config import Augmentation, DataConfig
from archatlas.data.listing import Files, Found, inspect_files, list_files
from archatlas.data.split import ImageSplit, MemoryPixels
from archatlas.data.splitting import stratified_split
from archatlas.data.streaming import FilePixels
from archatlas.errors import DataError

_SHARE = 0.15
_STATISTICS_IMAGES = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class _Survey:
    """What is known of a directory before its pixels are read."""

    parts: Mapping[str, Files]
    class_names: tuple[str, ...]
    channels: int
    resolution: int
    skipped: tuple[str, ...]


def load_folder(config: DataConfig) -> ImageData:
    """List, check, split and open the images of a directory.

    Raises:
        DataError: If there are no images, fewer than two classes, an empty class, or broken files to be refused.
    """
    survey = _survey(config)
    image_bytes = survey.channels * survey.resolution**2
    kept = parts_in_memory(survey.parts, image_bytes=image_bytes, memory_gib=config.memory_gib)
    augmentation = config.augmentation or _default_augmentation(survey.resolution, streamed="train" not in kept)
    if "train" in kept:
        refuse_crops(augmentation)
    pixels = {part: _open(config, survey, part, part in kept, augmentation) for part in survey.parts}
    mean, std = channel_statistics(_sample(pixels["train"]))
    normalisation = Normalisation(mean, std)
    splits = {
        part: ImageSplit(pixels[part], files.label_array, normalisation=normalisation, augmentation=augmentation)
        for part, files in survey.parts.items()
    }
    return ImageData(
        name="folder",
        **splits,
        num_classes=len(survey.class_names),
        channels=survey.channels,
        resolution=survey.resolution,
        mean=mean,
        std=std,
        class_names=survey.class_names,
        digest=_digest(config.path, survey),
        skipped=survey.skipped,
    )


def _survey(config: DataConfig) -> _Survey:
    listed, class_names = list_files(config.path)
    names = [name for files in listed.values() for name in files.names]
    found = inspect_files(config.path, names, workers=config.workers)
    skipped = _broken(found, config)
    readable = {part: files.without(skipped) for part, files in listed.items()}
    _check_classes(readable["train"], class_names)
    parts = split_files(readable, config, num_classes=len(class_names))
    used = [found[name] for files in parts.values() for name in files.names]
    return _Survey(
        parts=parts,
        class_names=class_names,
        channels=1 if all(one.grey for one in used) else 3,
        resolution=config.resolution or inferred_resolution([one.side for one in used]),
        skipped=skipped,
    )


def _open(
    config: DataConfig, survey: _Survey, part: str, in_memory: bool, augmentation: Augmentation
) -> MemoryPixels | FilePixels:
    files = FilePixels(
        root=config.path,
        names=survey.parts[part].names,
        resolution=survey.resolution,
        channels=survey.channels,
        crop_scale=augmentation.crop_scale,
        workers=config.workers,
    )
    return MemoryPixels(files.read_all()) if in_memory else files


def inferred_resolution(sides: Sequence[int]) -> int:
    """Return the median shorter side, rounded down to a multiple of 8, from 8 to 224 pixels."""
    return int(np.clip(int(np.median(sides)) // 8 * 8, 8, 224))


def split_files(listed: Mapping[str, Files], config: DataConfig, *, num_classes: int) -> dict[str, Files]:
    """Return training, validation and test files; what the directory does not divide is drawn from `train`.

    Args:
        listed: Files by part; `train` at least.
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
        parts[part] = _limited(listed[part], limits[part], seed=config.seed)
    return {part: parts[part] for part in ("train", "validation", "test")}


def _limited(files: Files, limit: int | None, *, seed: int) -> Files:
    """Shuffle the files of a given part, and keep a stratified choice of them; classes may be missing in it."""
    if not files.names:
        raise DataError("The val/ or test/ folder holds no images. Fill it, or remove it to have images drawn.")
    _, dense = np.unique(files.label_array, return_inverse=True)
    (rows,) = stratified_split(dense, [limit], num_classes=int(dense.max()) + 1, seed=seed)
    return files.take(rows)


def _broken(found: Mapping[str, Found], config: DataConfig) -> tuple[str, ...]:
    broken = tuple(name for name, one in found.items() if one.error)
    if broken and config.corrupt == "refuse":
        shown = "; ".join(f"{name} ({found[name].error})" for name in broken[:5]) + ("; ..." if broken[5:] else "")
        raise DataError(
            f"{len(broken)} of {len(found)} images in {config.path} cannot be read: {shown}. Repair or remove them, or "
            "set `corrupt: skip`."
        )
    return broken


def _check_classes(files: Files, class_names: Sequence[str]) -> None:
    counts = np.bincount(files.label_array, minlength=len(class_names))
    if empty := [name for name, count in zip(class_names, counts, strict=True) if count == 0]:
        raise DataError(f"No readable images in the class folders {', '.join(empty)}. Add images or remove the folder.")
    if len(class_names) < 2:
        raise DataError(f"Expected at least two class folders, got only {class_names[0]!r}. Add another class.")


def parts_in_memory(parts: Mapping[str, Files], *, image_bytes: int, memory_gib: float) -> frozenset[str]:
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


def _sample(pixels: MemoryPixels | FilePixels) -> torch.Tensor:
    """Return all images in memory, or the first streamed ones; their order is random."""
    return pixels.images if isinstance(pixels, MemoryPixels) else pixels.read_all(limit=_STATISTICS_IMAGES)


def _digest(root: Path, survey: _Survey) -> str:
    """Stand for names, classes and sizes of the files of each part, in order, and for the size of the images."""
    rows = [
        (part, name, label, (root / name).stat().st_size)
        for part, files in survey.parts.items()
        for name, label in zip(files.names, files.labels, strict=True)
    ]
    return digest_of([json.dumps([survey.resolution, survey.channels, rows]).encode()])
