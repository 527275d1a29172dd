from __future__ import annotations

import numpy as np
import pytest

from archatlas.costs.macs import count_costs
from archatlas.predictors import WindowedPredictor
from archatlas.predictors.window_gp import WindowGP
from archatlas.records import Architectures, Floats
from archatlas.search.acquisition import AcquisitionConfig, acquire
from archatlas.spaces import chain_graph
from archatlas.spaces.digits import digits

NETWORKS = digits().all_architectures()


def truth(networks: Architectures) -> Floats:
    return networks.astype(float) @ np.array([1.0, 2.0, 1.0, 3.0, 1.0, 0.5])


@pytest.fixture(scope="module")
def base() -> WindowedPredictor:
    space = digits()
    rows = np.random.default_rng(0).choice(len(NETWORKS), 80, replace=False)
    scores = truth(NETWORKS[rows]) - 5.0 * NETWORKS[rows, 3]
    return WindowGP().fit(chain_graph(space, count_costs(space)), NETWORKS[rows], scores, seed=0)


class Trainer:
    """Remembers what it trained."""

    def __init__(self) -> None:
        self.trained: list[tuple[int, ...]] = []

    def __call__(self, networks: Architectures) -> Floats:
        self.trained += map(tuple, networks.tolist())
        return truth(networks)


def test_labels_find_the_best_network(base: WindowedPredictor) -> None:
    trainer = Trainer()
    rows, labels = acquire(base, trainer, lambda _: NETWORKS, AcquisitionConfig(), trainings=30, seed=0)
    assert len(set(trainer.trained)) == 30
    assert list(map(tuple, rows.tolist())) == trainer.trained
    np.testing.assert_array_equal(labels, truth(rows))
    assert labels.max() >= 0.97 * truth(NETWORKS).max()


def test_a_stopped_acquisition_continues_alike(base: WindowedPredictor) -> None:
    """A shorter one is the beginning of a longer one, whole rounds apart."""
    config = AcquisitionConfig(round_size=4, trusting=4)
    long, _ = acquire(base, truth, lambda _: NETWORKS, config, trainings=16, seed=3)
    short, _ = acquire(base, truth, lambda _: NETWORKS, config, trainings=8, seed=3)
    np.testing.assert_array_equal(long[:8], short)


def test_known_labels_are_not_trained_again(base: WindowedPredictor) -> None:
    known = NETWORKS[::70]
    trainer = Trainer()
    rows, _ = acquire(
        base, trainer, lambda _: NETWORKS, AcquisitionConfig(), trainings=6, seed=0, known=(known, truth(known))
    )
    np.testing.assert_array_equal(rows[: len(known)], known)
    assert not set(trainer.trained) & set(map(tuple, known.tolist()))


def test_a_pool_can_be_exhausted(base: WindowedPredictor) -> None:
    rows, _ = acquire(base, truth, lambda _: NETWORKS[:7], AcquisitionConfig(), trainings=50, seed=0)
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, NETWORKS[:7].tolist()))
