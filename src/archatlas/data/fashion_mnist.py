"""Fashion-MNIST: 70,000 grey images of 28x28 in ten classes, in torchvision's folder layout."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torchvision.datasets import FashionMNIST
from torchvision.datasets.utils import download_url

from archatlas.data.arrays import LabelledImages, assemble, split_pool
from archatlas.data.base import ImageData
from archatlas.data.config import Augmentation, DataConfig
from archatlas.errors import DataError

CLASS_NAMES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_FOLDER = Path("FashionMNIST") / "raw"


def load_fashion_mnist(config: DataConfig) -> ImageData:
    """Split into 55,000 / 5,000 images and the official 10,000 test images unless the config says otherwise."""
    directory = config.path / _FOLDER
    if config.download:
        _download(directory)
    pool, test = (
        LabelledImages(
            images=torch.from_numpy(read_idx(_find(directory, f"{part}-images-idx3-ubyte"), 3)).unsqueeze(1),
            labels=read_idx(_find(directory, f"{part}-labels-idx1-ubyte"), 1).astype(np.int64),
        )
        for part in ("train", "t10k")
    )
    for part, (images, labels) in {"train": (pool.images, pool.labels), "t10k": (test.images, test.labels)}.items():
        if len(images) != len(labels) or images.shape[2:] != (28, 28):
            raise DataError(
                f"{directory} is not Fashion-MNIST: {part} has {tuple(images.shape)}, {len(labels)} labels."
            )
    return assemble(
        split_pool(pool, test, config, validation=5000, test=0),
        name="fashion-mnist",
        class_names=CLASS_NAMES,
        augmentation=config.augmentation or Augmentation(crop_padding=2, flip=True),
    )


def read_idx(path: Path, num_axes: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzipped.

    Raises:
        DataError: If it is not one, or cut short.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. Fetch it again.") from error
    header = 4 + 4 * num_axes
    shape = tuple(int(side) for side in np.frombuffer(content[4:header], dtype=">u4")) if len(content) >= header else ()
    if content[:4] != bytes((0, 0, 8, num_axes)) or len(content) != header + int(np.prod(shape, dtype=np.int64)):
        raise DataError(f"{path} is broken: expected an IDX file of bytes with {num_axes} axes. Fetch it again.")
    return np.frombuffer(bytearray(content[header:]), dtype=np.uint8).reshape(shape)


def _find(directory: Path, name: str) -> Path:
    for path in (directory / name, directory / f"{name}.gz"):
        if path.exists():
            return path
    raise DataError(
        f"No Fashion-MNIST in {directory.resolve()}: expected {name} or {name}.gz there. Lay the four files there, or "
        "set `download: true`."
    )


def _download(directory: Path) -> None:
    for name, md5 in FashionMNIST.resources:
        if (directory / name).exists() or (directory / name).with_suffix("").exists():
            continue
        errors = []
        for mirror in FashionMNIST.mirrors:
            try:
                download_url(f"{mirror}{name}", directory, name, md5)
            except (OSError, RuntimeError) as error:
                errors.append(f"{mirror}: {error}")
            else:
                break
        else:
            raise DataError(f"{name} could not be downloaded: {'; '.join(errors)}. Lay it in {directory.resolve()}.")
