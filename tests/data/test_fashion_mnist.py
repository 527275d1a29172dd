from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from archatlas.data import DataConfig, fashion_mnist, load_data
from archatlas.data.fashion_mnist import read_idx
from archatlas.errors import DataError


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def lay(directory, *, zipped=True, side=28):
    raw = directory / "FashionMNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    stream = np.random.default_rng(0)
    for part, n in (("train", 100), ("t10k", 30)):
        images = stream.integers(0, 256, (n, side, side), dtype=np.uint8)
        for name, array in (
            (f"{part}-images-idx3-ubyte", images),
            (f"{part}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8) % 10),
        ):
            content = idx(array)
            if zipped:
                (raw / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (raw / name).write_bytes(content)
    return DataConfig(name="fashion-mnist", path=directory, validation_images=20)


def test_plain_and_zipped_files_give_the_same_data(tmp_path):
    zipped = load_data(lay(tmp_path / "a"))
    plain = load_data(lay(tmp_path / "b", zipped=False))
    assert zipped.digest == plain.digest
    assert [len(s) for s in (plain.train, plain.validation, plain.test)] == [80, 20, 30]
    assert (plain.resolution, plain.channels, plain.num_classes) == (28, 1, 10)
    images, _ = next(plain.train.epoch(batch_size=8, seed=0, epoch=0, device="cpu"))
    assert images.shape == (8, 1, 28, 28)


def test_missing_files_tell_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"expected train-images-idx3-ubyte.*download: true"):
        load_data(DataConfig(name="fashion-mnist", path=tmp_path))


def test_images_of_another_size_are_refused(tmp_path):
    with pytest.raises(DataError, match="is not Fashion-MNIST: train has"):
        load_data(lay(tmp_path, side=27))


def test_broken_files_are_refused(tmp_path):
    good = idx(np.zeros((2, 3), np.uint8))
    for content in (good[:-1], good[:6], b"\0\0\x09" + good[3:], b""):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(DataError, match="expected an IDX file"):
            read_idx(tmp_path / "x", 2)
    (tmp_path / "x.gz").write_bytes(gzip.compress(good)[:-5])
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "x.gz", 2)


def test_download_fetches_only_what_is_missing(tmp_path, monkeypatch):
    config = lay(tmp_path)
    raw = tmp_path / "FashionMNIST" / "raw"
    content = (raw / "t10k-labels-idx1-ubyte.gz").read_bytes()
    (raw / "t10k-labels-idx1-ubyte.gz").unlink()
    asked = []

    def fetch(url, root, filename, md5):
        asked.append(filename)
        (root / filename).write_bytes(content)

    monkeypatch.setattr(fashion_mnist, "download_url", fetch)
    load_data(config.model_copy(update={"download": True}))
    assert asked == ["t10k-labels-idx1-ubyte.gz"]


def test_a_failed_download_is_told(tmp_path, monkeypatch):
    def offline(*_):
        raise OSError("no route")

    monkeypatch.setattr(fashion_mnist, "download_url", offline)
    with pytest.raises(DataError, match=r"could not be downloaded: .*no route"):
        load_data(DataConfig(name="fashion-mnist", path=tmp_path, download=True))
