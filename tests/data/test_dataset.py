"""A user's own torch data set, named as module:function."""

from __future__ import annotations

import itertools
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from archatlas.data import DataConfig, load_data
from archatlas.data.dataset import as_picture
from archatlas.data.pictures import UnreadableError
from archatlas.data.split import MemoryPixels
from archatlas.data.streaming import StreamedPixels
from archatlas.errors import ConfigError, DataError

MODULE = '''
import numpy as np, torch
from PIL import Image
from torch.utils.data import Dataset, Subset


class Pictures(Dataset):
    """Colour pictures of odd sizes; every class has its own brightness."""

    def __init__(self, n=30, start=0, make=Image.fromarray, label=lambda k: k):
        self.n, self.start, self.make, self.label = n, start, make, label

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if not 0 <= i < self.n:
            raise IndexError(i)
        stream = np.random.default_rng(self.start + i)
        height, width = stream.integers(10, 30, 2)
        pixels = stream.integers(0, 60, (height, width, 3), dtype=np.uint8) + np.uint8(60 * (i % 3))
        return self.make(pixels), self.label(i % 3)


def plain(n=30): return Pictures(n)
def named():
    data = Pictures()
    data.classes = ["cat", "dog", "owl"]
    return data
def texts(): return Pictures(label=lambda k: ["owl", "cat", "dog"][k])
def floats(): return Pictures(make=lambda p: torch.from_numpy(p).permute(2, 0, 1) / 255)
def numpy_labels(): return Pictures(label=np.int64)
def tensor_labels(): return Pictures(label=torch.tensor)
def divided(): return {"train": Pictures(30), "val": Pictures(6, 100), "test": Pictures(9, 200)}
def three(): return Pictures(30), Pictures(6, 100), Pictures(9, 200)

def fails(): raise RuntimeError("no disk")
def number(): return 3
def empty(): return {"train": Pictures(), "val": Pictures(0)}
def part(): return {"training": Pictures()}
def twice(): return {"train": Pictures(), "val": Pictures(3), "valid": Pictures(3)}
def normalised(): return Pictures(make=lambda p: torch.from_numpy(p).permute(2, 0, 1) / 32 - 3)
def shuffled(): return Pictures(make=lambda p: Image.fromarray(np.random.default_rng().integers(0, 99, (9, 9), "u1")))
def gap(): return Pictures(label=lambda k: 2 * k)
def single(): return Pictures(label=lambda k: 0)
def mixed(): return Pictures(label=lambda k: "cat" if k else 1)
def real(): return Pictures(label=lambda k: k / 2)
def strange(): return {"train": Pictures(), "test": Pictures(6, label=lambda k: k + 5)}

class Broken(Pictures):
    def __getitem__(self, i):
        if i in (4, 9):
            raise OSError("disk error")
        return super().__getitem__(i)

def broken(): return Broken()
not_a_function = 3
'''

_numbers = itertools.count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of the user in a folder of its own, under a new name for each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"user_pictures_{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    return name


def config(module, function, tmp_path, **kwargs):
    settings = {"name": "dataset", "path": tmp_path, "dataset": f"{module}:{function}", "workers": 0, "resolution": 16}
    return DataConfig(**settings | kwargs)


def pixels(split):
    return torch.cat([images for images, _ in split.ordered(batch_size=7, device="cpu")])


def test_a_data_set_is_split_and_kept_in_memory(module, tmp_path):
    data = load_data(config(module, "plain", tmp_path, arguments={"n": 60}))
    assert (data.name, data.num_classes, data.channels, data.resolution) == ("dataset", 3, 3, 16)
    assert data.class_names == ("0", "1", "2")
    assert [len(s) for s in (data.train, data.validation, data.test)] == [42, 9, 9]
    assert all(isinstance(s.pixels, MemoryPixels) for s in (data.train, data.validation, data.test))
    assert all(np.bincount(s.labels).min() >= 3 for s in (data.validation, data.test))
    brightness = data.train.pixels.images.float().mean((1, 2, 3)).numpy()
    assert all(abs(brightness[data.train.labels == k].mean() - (29.5 + 60 * k)) < 3 for k in range(3))
    assert load_data(config(module, "plain", tmp_path, arguments={"n": 60})).digest == data.digest
    assert load_data(config(module, "plain", tmp_path)).digest != data.digest


@pytest.mark.parametrize("workers", [0, 2])
def test_streams_hold_the_same_images_as_memory(module, tmp_path, workers):
    memory = load_data(config(module, "plain", tmp_path))
    streamed = load_data(config(module, "plain", tmp_path, memory_gib=0, workers=workers))
    assert isinstance(streamed.train.pixels, StreamedPixels)
    assert memory.digest == streamed.digest
    assert all(torch.equal(pixels(getattr(memory, s)), pixels(getattr(streamed, s))) for s in ("train", "test"))


@pytest.mark.parametrize("function", ["floats", "numpy_labels", "tensor_labels"])
def test_tensors_and_numbers_of_any_kind_give_the_same_data(module, tmp_path, function):
    plain, other = (load_data(config(module, name, tmp_path)) for name in ("plain", function))
    assert torch.equal(pixels(plain.train), pixels(other.train))
    assert plain.train.labels.tolist() == other.train.labels.tolist()


def test_classes_are_named_by_the_data_set_or_by_its_labels(module, tmp_path):
    assert load_data(config(module, "named", tmp_path)).class_names == ("cat", "dog", "owl")
    data = load_data(config(module, "texts", tmp_path))
    assert data.class_names == ("cat", "dog", "owl")
    brightness = data.train.pixels.images.float().mean((1, 2, 3)).numpy()
    darkest = [brightness[data.train.labels == k].mean() for k in range(3)]
    assert np.argsort(darkest).tolist() == [2, 0, 1]  # owl, cat, dog


@pytest.mark.parametrize("function", ["divided", "three"])
def test_given_parts_are_kept(module, tmp_path, function):
    data = load_data(config(module, function, tmp_path))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [30, 6, 9]


def test_resolution_is_inferred(module, tmp_path):
    assert load_data(config(module, "plain", tmp_path, resolution=None)).resolution in (8, 16)


def test_broken_items_are_refused_by_name_or_skipped_with_a_count(module, tmp_path):
    with pytest.raises(DataError, match=r"2 of 30 images in \w+:broken .*train/4 \(OSError: disk error\); train/9 "):
        load_data(config(module, "broken", tmp_path))
    data = load_data(config(module, "broken", tmp_path, corrupt="skip"))
    assert data.skipped == ("train/4", "train/9")
    assert sum(len(s) for s in (data.train, data.validation, data.test)) == 28


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("fails", r"failed with RuntimeError: no disk"),
        ("number", r"gave a int for train; expected a torch Dataset"),
        ("empty", r"gave an empty data set for validation"),
        ("part", r"gave the parts training; expected train, val and test"),
        ("twice", r"gave the parts train, val, valid; expected train, and val and test once"),
        ("normalised", r"No image of .* train/0 \(floats must be from 0 to 1, got .*leave normalisation out"),
        ("shuffled", r"Item 0 of train of .* is another one each time it is read\. Leave random transforms"),
        ("gap", r"No readable training images of the class 1, 3\. Add images or remove the class"),
        ("single", r"Expected at least two classes, got only '0'"),
        ("mixed", r"mixes numbers and texts as labels"),
        ("real", r"can be read: train/0 \(expected a class number from 0 or a text as label, got 0\.0\)"),
        ("strange", r"test/0 of .* has the label 5; the 3 classes of training are 0, 1, 2"),
    ],
)
def test_what_cannot_be_used_is_said(module, tmp_path, function, message):
    with pytest.raises(DataError, match=message):
        load_data(config(module, function, tmp_path))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("nowhere_at_all:make", r"'nowhere_at_all:make' cannot be imported \(looked in .*ModuleNotFoundError"),
        ("{module}:absent", r"absent' cannot be imported .*AttributeError"),
        ("{module}:not_a_function", r"names a int, expected a function"),
        (None, r"data\.dataset must name your function as module:function"),
    ],
)
def test_functions_that_cannot_be_found_are_named(module, tmp_path, named, message):
    settings = config(module, "plain", tmp_path).model_copy(update={"dataset": named and named.format(module=module)})
    with pytest.raises(ConfigError, match=message):
        load_data(settings)


def test_a_function_is_named_with_its_module():
    with pytest.raises(ValidationError, match="dataset"):
        DataConfig(name="dataset", dataset="os.system")


def test_wrong_arguments_are_said(module, tmp_path):
    with pytest.raises(DataError, match=r"failed with TypeError: plain\(\) got an unexpected keyword"):
        load_data(config(module, "plain", tmp_path, arguments={"m": 3}))


COLOUR = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


@pytest.mark.parametrize(
    ("image", "mode", "expected"),
    [
        (COLOUR, "RGB", COLOUR),
        (torch.from_numpy(COLOUR).permute(2, 0, 1), "RGB", COLOUR),
        (COLOUR / 255.0, "RGB", COLOUR),
        (COLOUR.astype(np.uint16) << 8 | 99, "RGB", COLOUR),
        (COLOUR[..., 0], "L", COLOUR[..., 0]),
        (torch.from_numpy(COLOUR[None, ..., 0]), "L", COLOUR[..., 0]),
        (COLOUR[..., 0] > 20, "L", 255 * (COLOUR[..., 0] > 20)),
        (np.concatenate([COLOUR, COLOUR[..., :1]], 2), "RGB", COLOUR),
        (Image.fromarray(COLOUR), "RGB", COLOUR),
    ],
)
def test_every_kind_of_image_becomes_the_same_picture(image, mode, expected):
    picture = as_picture(image)
    assert picture.mode == mode
    assert np.array_equal(np.asarray(picture), expected)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("a.png", "expected a PIL image, tensor or array, got str"),
        (np.zeros((4, 5, 2), np.uint8), "(H, W, C) with 1, 3 or 4 channels, got (4, 5, 2)"),
        (torch.zeros(5, 4, 3), "(C, H, W) with 1, 3 or 4 channels, got (5, 4, 3)"),
        (np.zeros((0, 5), np.uint8), "got (0, 5)"),
        (np.zeros((4, 5), np.int64), "expected 8 or 16 bits without sign, or floats from 0 to 1, got int64"),
        (np.full((4, 5), np.nan), "floats must be from 0 to 1, got nan to nan"),
    ],
)
def test_images_of_no_known_kind_are_refused(image, message):
    with pytest.raises(UnreadableError, match=re.escape(message)):
        as_picture(image)
