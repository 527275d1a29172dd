from __future__ import annotations

import numpy as np
import pytest
import torch

from archatlas.data import Augmentation, DataConfig, load_data
from archatlas.data.augmentation import Draws, Normalisation
from archatlas.data.split import ImageSplit, MemoryPixels
from archatlas.errors import ConfigError, DataError


def make_split(n=23, channels=3, side=6, **augmentation):
    images = torch.randint(
        0, 256, (n, channels, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    normalisation = Normalisation((0.5,) * channels, (0.25,) * channels)
    return ImageSplit(
        MemoryPixels(images), np.arange(n) % 3, normalisation=normalisation, augmentation=Augmentation(**augmentation)
    )


def collect(split, **kwargs):
    return list(split.epoch(**{"batch_size": 4, "seed": 7, "epoch": 2, "device": "cpu"} | kwargs))


def same(left, right):
    return len(left) == len(right) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(left, right, strict=True)
    )


def test_an_epoch_is_a_pure_function_and_leaves_global_randomness_alone():
    split = make_split(crop_padding=2, flip=True)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = collect(split)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert same(first, collect(split))
    assert not same(first, collect(split, epoch=3))
    assert not same(first, collect(split, seed=8))


def test_starting_at_every_batch_equals_the_undisturbed_run():
    split = make_split(crop_padding=1, flip=True)
    whole = collect(split)
    assert len(whole) == split.batches_per_epoch(4) == 5
    for start in range(len(whole) + 1):
        assert same(whole[start:], collect(split, start=start))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_cut_every_batch_into_equal_consecutive_parts(world_size):
    split = make_split(crop_padding=2, flip=True)
    whole = collect(split)
    parts = [collect(split, rank=rank, world_size=world_size) for rank in range(world_size)]
    for number, (images, labels) in enumerate(whole):
        assert torch.equal(torch.cat([part[number][0] for part in parts]), images)
        assert torch.equal(torch.cat([part[number][1] for part in parts]), labels)
        assert {len(part[number][1]) for part in parts} == {4 // world_size}


def test_an_epoch_shows_every_image_at_most_once():
    split = make_split()
    images = torch.cat([images for images, _ in collect(split)])
    assert len(images) == 20
    assert len(images.flatten(1).unique(dim=0)) == 20


def test_fewer_images_than_a_batch_are_one_batch_that_ranks_can_share():
    split = make_split(n=7)
    assert split.batches_per_epoch(16) == 1
    (batch,) = collect(split, batch_size=16)
    assert len(batch[1]) == 7
    (part,) = collect(split, batch_size=16, rank=1, world_size=2)
    assert len(part[1]) == 3


def test_bad_batch_sizes_are_refused():
    with pytest.raises(ConfigError, match="multiple of the 3 training processes"):
        collect(make_split(), world_size=3)
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        make_split().batches_per_epoch(0)
    with pytest.raises(DataError, match="1 training images cannot be shared by 2"):
        collect(make_split(n=1), world_size=2)


def test_ordered_yields_every_image_once_in_order_without_augmentation():
    split = make_split(crop_padding=2, flip=True)
    batches = list(split.ordered(batch_size=5, device="cpu"))
    assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 3]
    images = torch.cat([images for images, _ in batches])
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, (split.pixels.images / 255 - 0.5) / 0.25)
    assert torch.cat([labels for _, labels in batches]).tolist() == split.labels.tolist()
    part = torch.cat([images for images, _ in split.ordered(batch_size=5, start=3, stop=14, device="cpu")])
    assert torch.equal(part, images[3:14])
    assert [len(b[1]) for b in split.ordered(batch_size=5, start=20, stop=99, device="cpu")] == [3]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_batched_augmentation_equals_image_by_image(padding, flip):
    split = make_split(n=40)
    side = split.pixels.images.shape[2]
    draws = Draws.of_batch(40, side, Augmentation(crop_padding=padding, flip=flip), np.random.default_rng(0))
    result = draws.apply(split.pixels.images)
    seen = set()
    for i, image in enumerate(split.pixels.images.numpy()):
        padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
        y, x = draws._shifts[i].tolist() if padding else (0, 0)
        crop = padded[:, y : y + side, x : x + side]
        mirrored = bool(draws._flips[i]) if flip else False
        seen.add((y, x, mirrored))
        assert np.array_equal(result[i].numpy(), crop[:, :, ::-1] if mirrored else crop)
    assert len(seen) > (2 * padding + 1) ** 2 * (1 + flip) // 2


def test_digits_have_the_documented_shape_and_split():
    data = load_data(DataConfig())
    assert (data.channels, data.resolution, data.num_classes) == (1, 8, 10)
    assert (len(data.train), len(data.validation), len(data.test)) == (1197, 300, 300)
    images, labels = next(data.train.epoch(batch_size=64, seed=0, epoch=0, device="cpu"))
    assert images.shape == (64, 1, 8, 8)
    assert labels.dtype == torch.int64
    everything = torch.cat([images for images, _ in data.train.ordered(batch_size=500, device="cpu")])
    assert abs(float(everything.mean())) < 1e-5
    assert abs(float(everything.std()) - 1) < 1e-3
