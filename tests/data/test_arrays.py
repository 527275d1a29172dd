from __future__ import annotations

import numpy as np
import pytest
import torch

from archatlas.data import Augmentation, DataConfig, ImageData, load_data
from archatlas.data.arrays import LabelledImages, assemble, channel_statistics, shrink, split_pool
from archatlas.errors import ConfigError, DataError


def pictures(n=60, channels=3, side=8, classes=3, seed=0):
    stream = np.random.default_rng(seed)
    images = stream.integers(0, 256, (n, channels, side, side), dtype=np.uint8)
    return LabelledImages(images=torch.from_numpy(images), labels=np.arange(n) % classes)


def build(config, pool=None, test=None, **kwargs):
    parts = split_pool(pool or pictures(), test, config, validation=9, test=6)
    return assemble(parts, name="x", class_names="abc", augmentation=Augmentation(), **kwargs)


def rows(split):
    return {image.numpy().tobytes() for image in split.pixels.images}


def test_shrinking_by_a_whole_factor_takes_block_means():
    images = pictures(n=5).images
    expected = images.float().reshape(5, 3, 4, 2, 4, 2).mean(dim=(3, 5)).round()
    assert torch.equal(shrink(images, 4), expected.to(torch.uint8))


def test_shrinking_by_another_factor_keeps_the_mean_and_flat_images_flat():
    images = pictures(n=5).images
    small = shrink(images, 5)
    assert small.shape == (5, 3, 5, 5)
    assert abs(float(small.float().mean() - images.float().mean())) < 8
    assert (shrink(torch.full((2, 1, 8, 8), 77, dtype=torch.uint8), 3) == 77).all()


def test_images_never_grow():
    images = pictures().images
    assert shrink(images, None) is images
    assert shrink(images, 8) is images
    with pytest.raises(ConfigError, match="at most 8 .*got 9"):
        shrink(images, 9)


def test_statistics_equal_numpy_and_guard_constant_channels():
    images = pictures(n=7).images
    images[:, 1] = 51
    mean, std = channel_statistics(images)
    fractions = images.numpy() / 255
    np.testing.assert_allclose(mean, fractions.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose([std[0], std[2]], fractions.std(axis=(0, 2, 3))[[0, 2]], rtol=1e-12)
    assert std[1] == 1.0


def test_splits_do_not_overlap_and_statistics_come_from_training_images():
    data = build(DataConfig())
    assert [len(s) for s in (data.train, data.validation, data.test)] == [45, 9, 6]
    assert len(rows(data.train) | rows(data.validation) | rows(data.test)) == 60
    assert data.mean == channel_statistics(data.train.pixels.images)[0]


def test_an_official_test_set_stays_apart():
    official = pictures(n=12, seed=1)
    data = build(DataConfig(train_images=21), test=official)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [21, 9, 12]
    assert rows(data.test) == {image.numpy().tobytes() for image in official.images}
    fewer = build(DataConfig(test_images=6), test=official)
    assert rows(fewer.test) < rows(data.test)
    assert np.bincount(fewer.test.labels).tolist() == [2, 2, 2]


def test_the_digest_follows_content_split_and_resolution_alone():
    base = build(DataConfig())
    assert len(base.digest) == 12
    assert build(DataConfig(augmentation=Augmentation(flip=True), workers=0)).digest == base.digest
    changed = pictures()
    changed.images[0, 0, 0, 0] ^= 1
    others = [
        build(DataConfig(seed=1)),
        build(DataConfig(resolution=4)),
        build(DataConfig(train_images=30)),
        build(DataConfig(), pool=changed),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 5


def test_summary_is_ready_for_json():
    summary = build(DataConfig(), skipped=["a.png"]).summary()
    assert summary["images"] == {"train": 45, "validation": 9, "test": 6}
    assert summary["images_per_class"]["test"] == [2, 2, 2]
    assert summary["skipped"] == ["a.png"]


def test_records_that_cannot_be_are_refused():
    data = build(DataConfig())
    fields = {name: getattr(data, name) for name in ImageData.__slots__}
    with pytest.raises(DataError, match="at least two classes"):
        ImageData(**fields | {"num_classes": 1, "class_names": ("a",)})
    with pytest.raises(DataError, match="each of 3 channels"):
        ImageData(**fields | {"mean": (0.5,)})


@pytest.mark.parametrize("resolution", [4, 6])
def test_digits_shrink(resolution):
    data = load_data(DataConfig(resolution=resolution))
    assert data.resolution == resolution
    assert data.train.pixels.images.shape[2:] == (resolution, resolution)


def test_digits_are_what_scikit_learn_holds():
    data = load_data(DataConfig())
    assert load_data(DataConfig()).digest == data.digest
    assert len(rows(data.train) | rows(data.validation) | rows(data.test)) == 1797
    assert np.bincount(data.validation.labels).tolist() == pytest.approx([30] * 10, abs=1)
    assert data.class_names == tuple("0123456789")
    limited = load_data(DataConfig(train_images=100, validation_images=50, test_images=40))
    assert [len(s) for s in (limited.train, limited.validation, limited.test)] == [100, 50, 40]
