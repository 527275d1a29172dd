from __future__ import annotations

import json

import pytest
import torch
from lightning_fabric import Fabric

from archatlas.data import Augmentation
from archatlas.errors import ArtifactMismatchError
from archatlas.records import silent
from archatlas.supernet import SuperNetConfig, load_supernet, train_supernet
from archatlas.testing.tiny import tiny_data, tiny_space


def run(directory, *, seed=0, monitor=silent, **settings):
    config = SuperNetConfig(**({"epochs": 2, "batch_size": 16, "warmup_epochs": 0.0} | settings))
    fabric = Fabric(accelerator="cpu", devices=1)
    data = tiny_data()
    return train_supernet(tiny_space(), data, config, fabric=fabric, seed=seed, directory=directory, monitor=monitor)


@pytest.mark.parametrize("sampler", ["uniform", "fair", "sandwich"])
def test_training_writes_what_loading_reads(tmp_path, sampler):
    trained = run(tmp_path, sampler=sampler)
    loaded, digest = load_supernet(tiny_space(), tmp_path)
    assert len(digest) == 12
    assert trained.state_dict().keys() == loaded.state_dict().keys()
    for name, value in trained.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    header = json.loads((tmp_path / "supernet.json").read_text())
    assert header["data"] == tiny_data().digest
    assert [epoch["epoch"] for epoch in header["history"]] == [1, 2]


def test_training_learns(tmp_path):
    losses = []
    run(
        tmp_path,
        epochs=30,
        learning_rate=0.1,
        sampler="fair",
        monitor=lambda done, total, **figures: losses.append(figures["loss"]),
    )
    assert losses[-1] < 0.9 * losses[0]


def test_the_seed_decides_weights_and_paths(tmp_path):
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, seed=seed)
        digests.append(load_supernet(tiny_space(), tmp_path / name)[1])
    assert digests[0] == digests[1] != digests[2]


def test_the_super_network_may_have_its_own_augmentation(tmp_path):
    digests = []
    for name, augmentation in (("a", None), ("b", Augmentation(crop_padding=1, flip=True)), ("c", Augmentation())):
        run(tmp_path / name, augmentation=augmentation)
        digests.append(load_supernet(tiny_space(), tmp_path / name)[1])
    assert digests[0] == digests[1] != digests[2]


def test_the_global_random_state_is_neither_used_nor_changed(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    run(tmp_path / "b")
    assert load_supernet(tiny_space(), tmp_path / "a")[1] == load_supernet(tiny_space(), tmp_path / "b")[1]


def test_another_space_or_none_at_all_is_refused(tmp_path):
    with pytest.raises(ArtifactMismatchError, match=r"supernet\.json, which is missing"):
        load_supernet(tiny_space(), tmp_path)
    run(tmp_path)
    other = tiny_space().for_task(in_channels=1, num_classes=5, resolution=8)
    with pytest.raises(ArtifactMismatchError, match=f"belongs to space {tiny_space().digest}, not to tiny"):
        load_supernet(other, tmp_path)
