"""Super-networks of nas-bench-macro on random images: trained, scored, continued."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lightning_fabric import Fabric

from archatlas.benchmarks import supernets
from archatlas.benchmarks.supernets import Scores, SupernetsConfig, score_supernet
from archatlas.data import DataConfig, load_data
from archatlas.errors import ArtifactMismatchError
from archatlas.evaluation import EvaluationConfig
from archatlas.measurement import measure
from archatlas.records import as_array, silent
from archatlas.supernet import load_supernet
from archatlas.testing.tiny import tiny_data

DATA = tiny_data(channels=3, resolution=16, num_classes=10, train=64, validation=40)
NETWORKS = as_array([[0] * 8, [1, 0, 2, 0, 0, 0, 0, 0], [1, 0, 2, 1, 0, 0, 1, 2]])
CONFIG = SupernetsConfig(
    epochs=1, batch_size=32, evaluation=EvaluationConfig(recalibration_images=16), unrecalibrated=3
)


@pytest.fixture(autouse=True)
def random_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supernets, "load_data", lambda config: DATA if config.name == "cifar10" else load_data(config))


def score(work: Path, config: SupernetsConfig = CONFIG) -> Scores:
    fabric = Fabric(accelerator="cpu", devices=1)
    return score_supernet(NETWORKS, config, sampler="uniform", seed=3, work=work, fabric=fabric, monitor=silent)


def test_scores_are_those_of_the_sub_networks_and_are_kept(tmp_path: Path) -> None:
    scores = score(tmp_path)
    space = supernets.nas_bench_macro().for_task(in_channels=3, num_classes=10, resolution=16)
    supernet, digest = load_supernet(space, tmp_path / "uniform-seed3" / "supernet")
    assert (scores.digest, scores.sampler, scores.supernet_seed) == (digest, "uniform", 3)
    fabric = Fabric(accelerator="cpu", devices=1)
    alone = [measure(supernet.extract(tuple(row)), DATA.validation, fabric=fabric) for row in NETWORKS.tolist()]
    np.testing.assert_allclose(scores.plain_losses, [each.loss for each in alone], rtol=1e-5)
    np.testing.assert_allclose(scores.plain_accuracies, [each.accuracy for each in alone])
    assert not np.allclose(scores.losses, scores.plain_losses)
    again = score(tmp_path)
    np.testing.assert_array_equal(again.losses, scores.losses)
    np.testing.assert_array_equal(again.plain_losses, scores.plain_losses)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 2}, "epochs 1, not 2"),
        ({"batch_size": 16}, "batch_size 32, not 16"),
    ],
)
def test_a_super_network_of_another_training_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    score(tmp_path)
    with pytest.raises(ArtifactMismatchError, match=said):
        score(tmp_path, CONFIG.model_copy(update=change))


def test_a_super_network_that_does_not_say_how_it_was_trained_is_refused(tmp_path: Path) -> None:
    score(tmp_path)
    (tmp_path / "uniform-seed3" / "supernet" / "training.json").unlink()
    with pytest.raises(ArtifactMismatchError, match=r"training\.json, which is missing"):
        score(tmp_path)


def test_strict_fairness_gets_a_third_of_the_epochs() -> None:
    config = SupernetsConfig(data=DataConfig(name="cifar10"), epochs=20)
    assert [config.training(sampler).epochs for sampler in ("uniform", "fair")] == [20, 7]
