"""RandAugment and random erasing: pure functions of counters, equal in memory, streamed, and on any number of ranks."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from archatlas.data import Augmentation, DataConfig, load_data
from archatlas.data.augmentation import Draws, Normalisation, Variation
from archatlas.data.split import ImageSplit, MemoryPixels
from archatlas.retraining import Recipe

POLICY = "rand-m9-n2-mstd0.5-inc1"


def images(n=12, channels=3, side=16):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=generator)


def make_split(**augmentation):
    return ImageSplit(
        MemoryPixels(images()),
        np.arange(12) % 3,
        normalisation=Normalisation((0.5,) * 3, (0.25,) * 3),
        augmentation=Augmentation(**augmentation),
    )


def collect(split, **arguments):
    given = {"batch_size": 4, "seed": 7, "epoch": 2, "device": "cpu"} | arguments
    return torch.stack([batch for batch, _ in split.epoch(**given)])


@pytest.mark.parametrize("settings", [{"rand_augment": POLICY}, {"random_erasing": 0.7}])
def test_an_epoch_is_a_pure_function_and_leaves_global_generators_alone(settings):
    split = make_split(**settings)
    random.seed(3)
    np.random.seed(3)
    expected = random.random(), np.random.rand()
    random.seed(3)
    np.random.seed(3)
    first = collect(split)
    assert (random.random(), np.random.rand()) == expected
    assert torch.equal(first, collect(split))
    assert torch.equal(first[1:], collect(split, start=1))
    assert not torch.equal(first, collect(split, epoch=3))
    ranks = [collect(split, rank=rank, world_size=2) for rank in range(2)]
    assert torch.equal(torch.cat(ranks, dim=1), first)


def test_validation_images_are_never_varied():
    plain, varied = make_split(), make_split(rand_augment=POLICY, random_erasing=1.0)
    ordered = [torch.cat([x for x, _ in s.ordered(batch_size=5, device="cpu")]) for s in (plain, varied)]
    assert torch.equal(*ordered)


def test_a_recipe_adds_to_the_augmentation_of_the_data():
    split = make_split(crop_padding=2, flip=True)
    assert torch.equal(collect(split.augmented(**Recipe().augmentation)), collect(split))
    added = split.augmented(**Recipe(rand_augment=POLICY).augmentation).augmented(random_erasing=0.5)
    assert torch.equal(collect(added.augmented(**Recipe().augmentation)), collect(added))
    wanted = make_split(crop_padding=2, flip=True, rand_augment=POLICY, random_erasing=0.5)
    assert torch.equal(collect(added), collect(wanted))


def test_memory_and_streams_are_varied_alike(tmp_path):
    for name, value in (("dark", 40), ("light", 200)):
        (tmp_path / name).mkdir()
        for i in range(6):
            Image.fromarray(np.full((20, 20, 3), value + i, np.uint8)).save(tmp_path / name / f"{i}.png")
    augmentation = Augmentation(rand_augment=POLICY, random_erasing=0.5, flip=True)
    config = DataConfig(name="folder", path=tmp_path, resolution=16, workers=0, augmentation=augmentation)
    memory, streamed = (load_data(config.model_copy(update={"memory_gib": gib})).train for gib in (1.0, 0.0))
    assert torch.equal(collect(memory), collect(streamed))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("increasing", ["-inc1", ""])
@pytest.mark.parametrize("magnitude", range(0, 11, 2))
def test_every_operation_works_at_every_magnitude(channels, increasing, magnitude):
    description = f"rand-m{magnitude}-n3-p1{increasing}"
    vary = Variation(seed=0, epoch=0, crop_scale=1.0, rand_augment=description, fill=(128,) * channels)
    given = images(60, channels)
    varied = vary(given, np.arange(60))
    assert varied.shape == given.shape
    assert varied.dtype == torch.uint8
    assert (varied != given).flatten(1).any(1).float().mean() > 0.3


def test_erased_rectangles_have_the_documented_area_and_become_the_mean():
    draws = Draws.of_batch(2000, 32, Augmentation(random_erasing=0.25), np.random.default_rng(0))
    erased = draws.erase(torch.ones(2000, 1, 32, 32)) == 0
    area = erased.flatten(1).float().mean(1)
    assert abs(float((area > 0).float().mean()) - 0.25) < 0.03
    assert 0.01 < float(area[area > 0].min()) < float(area.max()) < 0.36
    rows, columns = erased.any(3), erased.any(2)  # a rectangle is the product of its rows and columns
    assert torch.equal(erased, rows.unsqueeze(3) & columns.unsqueeze(2))


@pytest.mark.parametrize("text", ["strong", "rand-q3", "rand-m", "augmix-m3", "rand-m9 "])
def test_other_words_than_those_of_timm_are_refused(text):
    with pytest.raises(ValidationError, match="such as rand-m9-n2-mstd0.5-inc1"):
        Augmentation(rand_augment=text)
