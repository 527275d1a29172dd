"""Retraining with every piece of the recipe: continued exactly, tested once, from given weights, with a teacher."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

from archatlas.data import ImageData
from archatlas.errors import ConfigError
from archatlas.measurement import measure
from archatlas.records import silent
from archatlas.retraining import (
    Distillation,
    Recipe,
    RetrainingConfig,
    load_network,
    load_result,
    retrain,
    train_and_score,
)
from archatlas.retraining.teachers import largest, load_teacher
from archatlas.testing.tiny import tiny_data, tiny_space, untrained_supernet

CPU = partial(Fabric, accelerator="cpu", devices=1)
SPACE, NETWORK = tiny_space(), (1, 2, 1)
STRONG = RetrainingConfig(
    epochs=2,
    batch_size=17,  # odd, so that one image of each batch is not mixed
    learning_rate=0.05,
    warmup_epochs=0.5,
    ema_decay=0.9,
    checkpoint_seconds=0.0,
    init="inherited",
    recipe=Recipe(preset="strong", drop_path=0.5),
    distillation=Distillation(),
)


class Interrupt(Exception):
    """Stands for a kill."""


def stop_at(step):
    def monitor(done, total, **figures):
        if done == step:
            raise Interrupt

    return monitor


def trained(directory: Path, config=STRONG, *, data: ImageData | None = None, monitor=silent, **arguments):
    supernet = untrained_supernet(SPACE) if config.needs_supernet else None
    given = {"fabric": CPU(), "seed": 0, "supernet": supernet} | arguments
    return retrain(SPACE, NETWORK, data or tiny_data(train=200), config, directory=directory, monitor=monitor, **given)


def test_a_stopped_and_continued_training_with_every_piece_ends_the_same(tmp_path):
    undisturbed = trained(tmp_path / "a")
    for step in (10, 20):  # 11 steps per epoch
        with pytest.raises(Interrupt):
            trained(tmp_path / "b", monitor=stop_at(step))
    assert trained(tmp_path / "b") == undisturbed == load_result(tmp_path / "a") == load_result(tmp_path / "b")
    first, second = (load_file(tmp_path / run / "weights.safetensors") for run in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    "piece", [{"rand_augment": "rand-m9"}, {"random_erasing": 1.0}, {"mixup": 1.0}, {"cutmix": 1.0}, {"drop_path": 0.9}]
)
def test_every_piece_changes_the_training(tmp_path, piece):
    config = RetrainingConfig(epochs=1, batch_size=16, learning_rate=0.05, ema_decay=None)
    trained(tmp_path / "plain", config)
    trained(tmp_path / "with", config.model_copy(update={"recipe": Recipe(**piece)}))
    first, second = (load_file(tmp_path / run / "weights.safetensors") for run in ("plain", "with"))
    assert first.keys() == second.keys()
    assert not torch.equal(first["stem.0.weight"], second["stem.0.weight"])


def test_inherited_weights_are_those_of_the_supernet(tmp_path):
    config = RetrainingConfig(
        epochs=1, batch_size=200, learning_rate=1e-12, ema_decay=None, init="inherited", weight_decay=0.0
    )
    trained(tmp_path, config)
    found = load_file(tmp_path / "weights.safetensors")
    expected = untrained_supernet(SPACE).extract(NETWORK).state_dict()
    for name in ("stem.0.weight", "blocks.1.layers.project.0.weight", "head.3.weight"):
        torch.testing.assert_close(found[name], expected[name])
    with pytest.raises(ConfigError, match="need a trained super-network"):
        trained(tmp_path, config, supernet=None)


def test_accuracies_are_those_of_the_written_network(tmp_path):
    data = tiny_data(train=200)
    result = trained(tmp_path, data=data)
    network = load_network(SPACE, tmp_path)
    for split, accuracy, balanced in (
        (data.validation, result.validation_accuracy, result.validation_balanced_accuracy),
        (data.test, result.test_accuracy, result.test_balanced_accuracy),
    ):
        found = measure(network, split, fabric=CPU())
        assert (found.accuracy, found.balanced_accuracy) == (accuracy, balanced)
    header = json.loads((tmp_path / "network.json").read_text())
    assert header["test_balanced_accuracy"] == result.test_balanced_accuracy
    assert 0 <= header["teacher_validation_accuracy"] <= 1


def test_the_test_images_are_read_once(tmp_path):
    data = tiny_data(train=100)
    reads = []

    class Counted:
        def __init__(self, split):
            self.split, self.labels = split, split.labels

        def __len__(self):
            return len(self.split)

        def ordered(self, **arguments):
            reads.append(arguments)
            return self.split.ordered(**arguments)

    trained(tmp_path, data=dataclasses.replace(data, test=Counted(data.test)))
    assert len(reads) == 1


def test_the_supernet_teaches_by_its_largest_network_recalibrated():
    space, data = tiny_space(), tiny_data(train=200)
    assert largest(space) == (2, 2, 2)
    supernet = untrained_supernet(space)
    teacher = load_teacher(Distillation(), data, supernet=supernet, device=torch.device("cpu"))
    images = torch.cat([images for images, _ in data.train.ordered(batch_size=200, device="cpu")])
    stem = supernet.stem[0](images)
    torch.testing.assert_close(teacher.stem[1].running_mean, stem.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_a_timm_teacher_gets_images_in_its_own_normalisation(tmp_path):
    data = tiny_data(channels=3, resolution=32)
    path = tmp_path / "teacher.safetensors"
    model = timm.create_model("resnet10t", num_classes=4).eval()
    save_file(model.state_dict(), path)
    config = Distillation(teacher="resnet10t", weights=path)
    teacher = load_teacher(config, data, supernet=None, device=torch.device("cpu"))
    images, _ = next(data.test.ordered(batch_size=4, device="cpu"))
    pixels = images * torch.tensor(data.std).view(1, 3, 1, 1) + torch.tensor(data.mean).view(1, 3, 1, 1)
    cfg = model.pretrained_cfg
    wanted = (pixels - torch.tensor(cfg["mean"]).view(1, 3, 1, 1)) / torch.tensor(cfg["std"]).view(1, 3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(teacher(images), model(wanted), rtol=1e-3, atol=1e-4)
    assert len(config.weights_digest) == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher": "resnet99"}, "expected supernet or a model of timm"),
        ({"teacher": "resnet10t"}, "needs weights: either"),
        ({"teacher": "resnet10t", "weights": "other.safetensors"}, "holds no weights of resnet10t for this data"),
        ({"teacher": "vit_tiny_patch16_224", "weights": "vit.safetensors"}, "does not take 8x8 images"),
    ],
)
def test_teachers_that_cannot_be_used_are_refused(tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    if settings.get("weights") == "vit.safetensors":
        model = timm.create_model(settings["teacher"], num_classes=4, in_chans=3)
        save_file(model.state_dict(), tmp_path / "vit.safetensors")
    with pytest.raises(ConfigError, match=message):
        load_teacher(Distillation(**settings), tiny_data(channels=3), supernet=None, device=torch.device("cpu"))


def test_missing_weights_are_named_before_anything_is_trained():
    with pytest.raises(ConfigError, match=r"weights names nowhere\.safetensors, which is no file"):
        _ = Distillation(teacher="resnet10t", weights="nowhere.safetensors").weights_digest


def test_a_label_is_the_validation_score_of_the_same_training_and_needs_no_test_images(tmp_path):
    config = RetrainingConfig(epochs=1, batch_size=16, learning_rate=0.05)
    data = tiny_data(train=200)
    result = trained(tmp_path / "network", config, data=data)
    untested = dataclasses.replace(data, test=None)
    label = partial(train_and_score, SPACE, NETWORK, untested, config, fabric=CPU(), seed=0, monitor=silent)
    first = label(directory=tmp_path / "label")
    assert (first.accuracy, first.num_images) == (result.validation_accuracy, len(data.validation))
    assert label(directory=tmp_path / "label") == first  # finished, but stopped before anybody noted its score
