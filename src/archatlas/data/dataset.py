"""A user's own torch `Dataset`, named as `module:function`.

The function returns a `Dataset` of pairs (image, label), or a dict of them by part: `train`, and `val` and `test` if
they exist, or a tuple of all three. An image is a PIL image, or a tensor `(C, H, W)` or `(H, W)`, or an array
`(H, W, C)` or `(H, W)`, of 8 or 16 bits or of floats from 0 to 1; sizes may differ. A label is a class number from 0,
or a text. Class names are those of the data set's `classes`, where it has such, as torchvision's do.

Every image is read once when the data is opened, to find its label, size, channels and digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from archatlas.data.base import ImageData
from archatlas.data.config import DataConfig
from archatlas.data.listed import Found, Listed, Names, open_listed
from archatlas.data.pictures import UnreadableError, is_grey, to_8_bits
from archatlas.data.streaming import in_workers
from archatlas.errors import ConfigError, DataError
from archatlas.usercode import import_function

_BATCH = 64
_PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}

Label = int | str
Datasets = Mapping[str, Any]
"""Map-style data sets by part; what users give has no type that could be relied on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """What reading an item once showed."""

    name: str
    label: Label
    found: Found
    digest: str


def load_dataset(config: DataConfig) -> ImageData:
    """Call the user's function and check, split and open its images.

    Raises:
        ConfigError: If no function is named, or it cannot be imported.
        DataError: If it fails or returns something else, or its images or labels cannot be used.
    """
    datasets = _datasets(config)
    asked = [(part, index) for part, dataset in datasets.items() for index in range(len(dataset))]
    batches = [asked[first : first + _BATCH] for first in range(0, len(asked), _BATCH)]
    inspected = in_workers(partial(_inspect_batch, datasets), batches, workers=config.workers)
    items = {item.name: item for batch in inspected for item in batch}
    _refuse_randomness(datasets, items, config)
    class_names = _class_names(datasets["train"], [i for i in items.values() if i.name.startswith("train/")], config)
    listed = Listed(
        name="dataset",
        source=str(config.dataset),
        parts={part: _names(part, items, class_names, config) for part in datasets},
        class_names=class_names,
        found={name: item.found for name, item in items.items()},
        read=partial(_read, datasets),
        identity=lambda name: items[name].digest,
    )
    return open_listed(listed, config)


def _datasets(config: DataConfig) -> Datasets:
    if config.dataset is None:
        raise ConfigError("data.name is dataset, so data.dataset must name your function as module:function.")
    function = import_function(config.dataset, [config.path, Path.cwd()])
    try:
        given = function(**config.arguments)
    except Exception as error:  # the user's own code may raise anything
        raise DataError(f"{config.dataset} failed with {type(error).__name__}: {error}") from error
    if isinstance(given, tuple) and len(given) == 3:
        given = dict(zip(("train", "validation", "test"), given, strict=True))
    if not isinstance(given, Mapping):
        given = {"train": given}
    if unknown := [key for key in given if key not in _PARTS]:
        raise DataError(
            f"{config.dataset} gave the parts {', '.join(map(str, unknown))}; expected train, val and test."
        )
    datasets = {_PARTS[key]: dataset for key, dataset in given.items()}
    if "train" not in datasets or len(datasets) < len(given):
        raise DataError(f"{config.dataset} gave the parts {', '.join(given)}; expected train, and val and test once.")
    for part, dataset in datasets.items():
        _check_kind(part, dataset, config)
    return datasets


def _check_kind(part: str, dataset: Any, config: DataConfig) -> None:
    try:
        length = len(dataset)
    except TypeError:
        length = -1
    if length < 0 or not callable(getattr(dataset, "__getitem__", None)):
        raise DataError(
            f"{config.dataset} gave a {type(dataset).__name__} for {part}; expected a torch Dataset with a length and "
            "items (image, label), a dict of them by train, val and test, or a tuple of all three."
        )
    if length == 0:
        raise DataError(f"{config.dataset} gave an empty data set for {part}. Fill it, or leave the part out.")


def _inspect_batch(datasets: Datasets, asked: Sequence[tuple[str, int]]) -> list[_Item]:
    return [_inspect(datasets, part, index) for part, index in asked]


def _inspect(datasets: Datasets, part: str, index: int) -> _Item:
    name = f"{part}/{index}"
    try:
        picture, label = _pair(datasets, part, index)
    except UnreadableError as error:
        return _Item(name=name, label=-1, found=Found(error=str(error)), digest="")
    content = hashlib.sha256(f"{picture.mode}{picture.size}".encode() + picture.tobytes())
    found = Found(grey=is_grey(picture), side=min(picture.size))
    return _Item(name=name, label=label, found=found, digest=content.hexdigest()[:12])


def _pair(datasets: Datasets, part: str, index: int) -> tuple[Image.Image, Label]:
    try:
        image, label = datasets[part][index]
    except Exception as error:  # the user's own code may raise anything
        raise UnreadableError(f"{type(error).__name__}: {error}") from error
    return as_picture(image), _as_label(label)


def _read(datasets: Datasets, name: str) -> Image.Image:
    part, _, index = name.partition("/")
    return _pair(datasets, part, int(index))[0]


def as_picture(image: object) -> Image.Image:
    """Return an image of a data set as 8 bits per channel, `L` or `RGB`.

    Args:
        image: A PIL image; a tensor `(C, H, W)` or `(H, W)`; an array `(H, W, C)` or `(H, W)`; 1, 3 or 4 channels.

    Raises:
        UnreadableError: If it is none of these, or holds floats that are not from 0 to 1.
    """
    if isinstance(image, Image.Image):
        return to_8_bits(image)
    if isinstance(image, torch.Tensor):
        pixels = image.detach().cpu().numpy()
        pixels = pixels.transpose(1, 2, 0) if pixels.ndim == 3 else pixels
    elif isinstance(image, np.ndarray):
        pixels = image
    else:
        raise UnreadableError(f"expected a PIL image, tensor or array, got {type(image).__name__}")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if 0 in pixels.shape or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        order = "(C, H, W)" if isinstance(image, torch.Tensor) else "(H, W, C)"
        raise UnreadableError(f"expected (H, W) or {order} with 1, 3 or 4 channels, got {tuple(image.shape)}")
    return to_8_bits(Image.fromarray(np.ascontiguousarray(_as_bytes(pixels))))


def _as_bytes(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8)
    if pixels.dtype == np.uint16:
        return (pixels >> 8).astype(np.uint8)
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if not np.issubdtype(pixels.dtype, np.floating):
        raise UnreadableError(f"expected 8 or 16 bits without sign, or floats from 0 to 1, got {pixels.dtype}")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):  # also when it is not a number
        raise UnreadableError(
            f"floats must be from 0 to 1, got {low:.3g} to {high:.3g}; leave normalisation out, it is done here"
        )
    levels: npt.NDArray[np.uint8] = np.rint(pixels * 255).astype(np.uint8)
    return levels


def _as_label(label: object) -> Label:
    if isinstance(label, str):
        return label
    if isinstance(label, torch.Tensor | np.ndarray | np.generic) and np.ndim(label) == 0:
        label = label.item()
    if isinstance(label, int) and not isinstance(label, bool) and label >= 0:
        return label
    raise UnreadableError(f"expected a class number from 0 or a text as label, got {label!r}")


def _refuse_randomness(datasets: Datasets, items: Mapping[str, _Item], config: DataConfig) -> None:
    """Read the first item of each part again: training, scores and digests need the same images every time."""
    for part in datasets:
        first = items[f"{part}/0"]
        again = _inspect(datasets, part, 0)
        if not first.found.error and (again.digest, again.label) != (first.digest, first.label):
            raise DataError(
                f"Item 0 of {part} of {config.dataset} is another one each time it is read. Leave random transforms "
                "and shuffling out; images are varied by data.augmentation and retraining.recipe."
            )


def _class_names(dataset: Any, items: Sequence[_Item], config: DataConfig) -> tuple[str, ...]:
    """Return the texts that are labels, sorted, or the names that the data set has for its numbers."""
    labels = {item.label for item in items if not item.found.error}
    kinds = {type(label) for label in labels}
    if not labels:
        examples = "; ".join(f"{item.name} ({item.found.error})" for item in items[:3])
        raise DataError(f"No image of {config.dataset} can be read: {examples}.")
    if len(kinds) > 1:
        raise DataError(f"{config.dataset} mixes numbers and texts as labels; use one kind.")
    if kinds == {str}:
        return tuple(sorted(str(label) for label in labels))
    given = getattr(dataset, "classes", None)
    if given is None:
        return tuple(str(number) for number in range(max(int(label) for label in labels) + 1))
    return tuple(str(name) for name in given)


def _names(part: str, items: Mapping[str, _Item], class_names: Sequence[str], config: DataConfig) -> Names:
    chosen = [item for item in items.values() if item.name.startswith(f"{part}/")]
    number = {name: index for index, name in enumerate(class_names)}
    labels = [number.get(item.label, -1) if isinstance(item.label, str) else item.label for item in chosen]
    readable = [(label, item) for label, item in zip(labels, chosen, strict=True) if not item.found.error]
    if strange := [item for label, item in readable if not 0 <= label < len(class_names)]:
        raise DataError(
            f"{strange[0].name} of {config.dataset} has the label {strange[0].label!r}; the {len(class_names)} classes "
            f"of training are {', '.join(class_names[:10])}. Use the same classes in every part, counted from 0."
        )
    return Names(names=tuple(item.name for item in chosen), labels=tuple(max(0, label) for label in labels))
