from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from archatlas.data import Augmentation, DataConfig, load_data
from archatlas.data.listed import Names, inferred_resolution, parts_in_memory
from archatlas.data.split import MemoryPixels
from archatlas.data.streaming import StreamedPixels
from archatlas.errors import ConfigError, DataError

MODES = ("RGB", "L", "RGBA", "P", "CMYK", "1", "LA")


def lay(root, classes=("cat", "dog", "owl"), n=12, modes=MODES, seed=0):
    stream = np.random.default_rng(seed)
    for k, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(n):
            width, height = stream.integers(9, 40, 2)
            pixels = stream.integers(0, 200, (height, width, 3), dtype=np.uint8)
            pixels[..., k % 3] = 255
            picture = Image.fromarray(pixels).convert(modes[i % len(modes)])
            picture.save(root / name / (f"{i}.tif" if picture.mode == "CMYK" else f"{i}.png"))
    return root


def config(root, **kwargs):
    return DataConfig(**{"name": "folder", "path": root, "resolution": 16, "workers": 0} | kwargs)


def collect(split, **kwargs):
    return list(split.epoch(**{"batch_size": 4, "seed": 7, "epoch": 1, "device": "cpu"} | kwargs))


def same(left, right):
    return len(left) == len(right) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(left, right, strict=True)
    )


def names(split):
    return set(split.pixels.names)


def test_a_plain_directory_is_split_and_kept_in_memory(tmp_path):
    data = load_data(config(lay(tmp_path)))
    assert (data.num_classes, data.channels, data.resolution) == (3, 3, 16)
    assert data.class_names == ("cat", "dog", "owl")
    assert [len(s) for s in (data.train, data.validation, data.test)] == [26, 5, 5]
    assert all(isinstance(s.pixels, MemoryPixels) for s in (data.train, data.validation, data.test))
    assert all(np.bincount(s.labels, minlength=3).min() >= 1 for s in (data.train, data.validation, data.test))
    everything = torch.cat([images for images, _ in data.train.ordered(batch_size=7, device="cpu")])
    assert everything.mean(dim=(0, 2, 3)).abs().max() < 1e-5


def test_splits_share_no_file(tmp_path):
    data = load_data(config(lay(tmp_path), memory_gib=0))
    parts = [names(s) for s in (data.train, data.validation, data.test)]
    assert len(set.union(*parts)) == sum(len(part) for part in parts) == 36
    other = load_data(config(tmp_path, memory_gib=0, seed=1))
    assert names(other.test) != parts[2]
    assert other.digest != data.digest


def test_memory_and_streams_hold_the_same_images(tmp_path):
    memory = load_data(config(lay(tmp_path)))
    streamed = load_data(config(tmp_path, memory_gib=0))
    assert isinstance(streamed.train.pixels, StreamedPixels)
    assert memory.digest == streamed.digest
    for part in ("train", "validation", "test"):
        left, right = (list(getattr(d, part).ordered(batch_size=8, device="cpu")) for d in (memory, streamed))
        assert same(left, right)


def test_one_augmentation_works_the_same_in_memory_and_streamed(tmp_path):
    augmentation = Augmentation(crop_padding=2, flip=True)
    memory = load_data(config(lay(tmp_path), augmentation=augmentation))
    streamed = load_data(config(tmp_path, augmentation=augmentation, memory_gib=0))
    assert same(collect(memory.train), collect(streamed.train))


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_epochs_are_pure_functions(tmp_path, workers):
    split = load_data(config(lay(tmp_path), memory_gib=0, workers=workers)).train
    reference = load_data(config(tmp_path, memory_gib=0)).train
    torch.manual_seed(3)
    state = torch.get_rng_state()
    whole = collect(split)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(whole, collect(reference))
    assert not same(whole, collect(reference, epoch=2))
    starts = range(len(whole) + 1) if workers == 0 else [3]
    assert all(same(whole[start:], collect(split, start=start)) for start in starts)
    ranks = [collect(split, rank=rank, world_size=2) for rank in range(2)]
    for number, (images, labels) in enumerate(whole):
        assert torch.equal(torch.cat([part[number][0] for part in ranks]), images)
        assert torch.equal(torch.cat([part[number][1] for part in ranks]), labels)


def test_an_abandoned_epoch_ends_its_workers(tmp_path):
    split = load_data(config(lay(tmp_path), memory_gib=0, workers=1)).train
    running = split.epoch(batch_size=4, seed=0, epoch=0, device="cpu")
    next(running)
    running.close()


def test_random_crops_vary_from_epoch_to_epoch_but_ordered_images_do_not(tmp_path):
    augmentation = Augmentation(crop_scale=0.2)
    split = load_data(config(lay(tmp_path), memory_gib=0, augmentation=augmentation)).train
    first = torch.cat([x for x, _ in collect(split, batch_size=26)])
    second = torch.cat([x for x, _ in collect(split, batch_size=26, epoch=2)])
    assert not torch.equal(first.sum(dim=(1, 2, 3)).sort()[0], second.sum(dim=(1, 2, 3)).sort()[0])
    assert same(*(list(split.ordered(batch_size=9, device="cpu")) for _ in range(2)))
    centres = split.augmented(crop_scale=1.0)
    first, second = (torch.cat([x for x, _ in collect(centres, batch_size=26, epoch=epoch)]) for epoch in (0, 2))
    assert torch.equal(first.sum(dim=(1, 2, 3)).sort()[0], second.sum(dim=(1, 2, 3)).sort()[0])


def test_random_crops_need_a_stream(tmp_path):
    augmentation = Augmentation(crop_scale=0.2)
    with pytest.raises(ConfigError, match=r"crop_scale 0\.2 needs images that are streamed"):
        load_data(config(lay(tmp_path), augmentation=augmentation))
    with pytest.raises(ConfigError, match="needs images that are streamed"):
        load_data(DataConfig(augmentation=augmentation))
    with pytest.raises(ConfigError, match="needs images that are streamed"):
        load_data(DataConfig()).train.augmented(crop_scale=0.2)


def test_all_grey_images_have_one_channel(tmp_path):
    data = load_data(config(lay(tmp_path, modes=("L", "1", "LA"))))
    assert (data.channels, len(data.mean)) == (1, 1)
    images, _ = next(data.test.ordered(batch_size=2, device="cpu"))
    assert images.shape == (2, 1, 16, 16)


def test_16_bit_images_keep_their_upper_bits(tmp_path):
    for name, value in (("dark", 0x1234), ("light", 0xABCD)):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((20, 20), value, np.uint16)).save(tmp_path / name / f"{i}.png")
    data = load_data(config(tmp_path))
    assert data.channels == 1
    assert {int(v) for v in data.train.pixels.images.unique()} == {0x12, 0xAB}


def test_given_parts_are_kept(tmp_path):
    for part, n, seed in (("train", 10, 0), ("val", 4, 1), ("test", 5, 2)):
        lay(tmp_path / part, n=n, seed=seed)
    data = load_data(config(tmp_path, memory_gib=0))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [30, 12, 15]
    assert all(name.startswith("val/") for name in names(data.validation))
    assert all(name.startswith("test/") for name in names(data.test))
    limited = load_data(config(tmp_path, train_images=9, validation_images=6, test_images=3))
    assert [np.bincount(s.labels).tolist() for s in (limited.train, limited.validation, limited.test)] == [
        [3] * 3,
        [2] * 3,
        [1] * 3,
    ]


@pytest.mark.parametrize(("given", "sizes"), [("test", [25, 5, 6]), ("valid", [25, 6, 5])])
def test_a_missing_part_is_drawn_from_training(tmp_path, given, sizes):
    lay(tmp_path / "train", n=10)
    lay(tmp_path / given, n=2, seed=1)
    data = load_data(config(tmp_path, memory_gib=0))
    drawn = data.validation if given == "test" else data.test
    assert all(name.startswith("train/") for name in names(drawn))
    sizes[0] = 30 - len(drawn)
    sizes = [len(drawn) if size == 5 else size for size in sizes]
    assert [len(s) for s in (data.train, data.validation, data.test)] == sizes
    assert not names(drawn) & names(data.train)


@pytest.mark.parametrize("classes", [("bus", "train"), ("test", "train")])
def test_classes_that_are_called_train_and_test_are_classes(tmp_path, classes):
    data = load_data(config(lay(tmp_path, classes=classes)))
    assert data.class_names == classes


def test_corrupt_files_are_refused_by_name_or_skipped_with_a_count(tmp_path):
    lay(tmp_path)
    (tmp_path / "cat" / "bad.png").write_bytes(b"no image")
    whole = (tmp_path / "dog" / "0.png").read_bytes()
    (tmp_path / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"2 of 38 images .*cat/bad\.png \(.*dog/cut\.png \(.*corrupt: skip"):
        load_data(config(tmp_path))
    data = load_data(config(tmp_path, corrupt="skip"))
    assert data.skipped == ("cat/bad.png", "dog/cut.png")
    assert sum(len(s) for s in (data.train, data.validation, data.test)) == 36


def test_a_file_that_breaks_while_streaming_is_named(tmp_path):
    split = load_data(config(lay(tmp_path), memory_gib=0)).train
    (tmp_path / sorted(names(split))[0]).write_bytes(b"")
    with pytest.raises(DataError, match=r"can no longer be read.*Restore it"):
        list(split.ordered(batch_size=8, device="cpu"))


def test_what_was_found_is_kept_until_a_file_changes(tmp_path, monkeypatch):
    import archatlas.data.listing as listing

    lay(tmp_path)
    load_data(config(tmp_path))
    index = tmp_path / ".archatlas-index.json"
    before = index.read_bytes()
    calls = []
    monkeypatch.setattr(listing, "_inspect", lambda root, name: calls.append(name) or listing.Found(side=20))
    load_data(config(tmp_path))
    assert not calls
    assert index.read_bytes() == before
    Image.new("RGB", (20, 20)).save(tmp_path / "cat" / "new.png")
    load_data(config(tmp_path))
    assert len(calls) == 37
    index.write_text("{")
    with pytest.raises(DataError, match="index.json is broken"):
        load_data(config(tmp_path))


def test_a_directory_that_cannot_be_written_is_inspected_anew(tmp_path, monkeypatch):
    import archatlas.data.listing as listing

    def denied(path, content):
        raise PermissionError

    monkeypatch.setattr(listing, "write_bytes", denied)
    lay(tmp_path)
    assert load_data(config(tmp_path)).digest == load_data(config(tmp_path)).digest
    assert not (tmp_path / ".archatlas-index.json").exists()


def test_directories_without_use_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"No directory .*class folders"):
        load_data(config(tmp_path / "absent"))
    with pytest.raises(DataError, match=r"No images in the class folders of .*one folder per class"):
        load_data(config(tmp_path))
    lay(tmp_path, classes=("cat",))
    with pytest.raises(DataError, match="at least two classes, got only 'cat'"):
        load_data(config(tmp_path))
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="No readable training images of the class dog"):
        load_data(config(tmp_path))
    Image.new("RGB", (9, 9)).save(tmp_path / "dog" / "1.png")
    with pytest.raises(DataError, match="Class 1 has 1 images; it needs at least 3"):
        load_data(config(tmp_path))


def test_parts_that_do_not_fit_together_are_refused(tmp_path):
    lay(tmp_path / "train", n=4)
    lay(tmp_path / "val", classes=("cat", "emu"), n=4)
    with pytest.raises(DataError, match="classes that training has not: emu"):
        load_data(config(tmp_path))
    (tmp_path / "val" / "emu").rename(tmp_path / "val" / "dog")
    (tmp_path / "valid").mkdir()
    with pytest.raises(DataError, match="more than one of val/"):
        load_data(config(tmp_path))
    (tmp_path / "valid").rename(tmp_path / "test")
    with pytest.raises(DataError, match="holds no images"):
        load_data(config(tmp_path))


@pytest.mark.parametrize(("sides", "expected"), [([3], 8), ([31, 33, 40], 32), ([500], 224), ([224], 224)])
def test_resolution_is_inferred_from_the_median_side(sides, expected):
    assert inferred_resolution(sides) == expected


def test_resolution_is_inferred_of_a_folder(tmp_path):
    data = load_data(config(lay(tmp_path), resolution=None))
    assert data.resolution % 8 == 0
    assert 8 <= data.resolution < 40


def test_memory_goes_to_validation_and_test_first():
    files = {"train": 80, "validation": 10, "test": 10}
    parts = {part: Names(names=("x",) * n, labels=(0,) * n) for part, n in files.items()}
    for images, expected in ((100, {"train", "validation", "test"}), (99, {"validation", "test"}), (9, set())):
        assert parts_in_memory(parts, image_bytes=2**20, memory_gib=images / 1024) == expected


def test_other_files_and_hidden_ones_are_ignored_and_folders_searched_in_depth(tmp_path):
    lay(tmp_path, n=4)
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / "more").mkdir()
    (tmp_path / "cat" / "0.png").rename(tmp_path / "cat" / "more" / "0.PNG")
    data = load_data(config(tmp_path))
    assert sum(len(s) for s in (data.train, data.validation, data.test)) == 12
    assert len(json.loads((tmp_path / ".archatlas-index.json").read_text())["files"]) == 12


def test_a_home_directory_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert DataConfig(path="~/images").path.as_posix() == "/home/ada/images"


@pytest.mark.parametrize("bad", [{"nmae": "x"}, {"name": "imagenet"}, {"resolution": 0}, {"train_images": 0}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(ValidationError):
        DataConfig(**bad)
