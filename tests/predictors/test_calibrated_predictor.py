from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archatlas.costs.macs import count_costs
from archatlas.errors import DataError
from archatlas.predictors import WindowedPredictor, load
from archatlas.predictors.calibration import _loss, calibrate, matched_scores, quantile_scores
from archatlas.predictors.metrics import kendall_tau
from archatlas.predictors.window_gp import WindowGP
from archatlas.records import Architectures, Floats
from archatlas.spaces import SpaceGraph, chain_graph
from archatlas.spaces.digits import digits


@pytest.fixture(scope="module")
def graph() -> SpaceGraph:
    space = digits()
    return chain_graph(space, count_costs(space))


@pytest.fixture(scope="module")
def networks(graph: SpaceGraph) -> Architectures:
    every = np.indices(graph.num_choices, dtype=np.uint8).reshape(len(graph.num_choices), -1).T
    return every[(graph.canonical(every) == every).all(axis=1)]


def truth(networks: Architectures) -> Floats:
    return networks.astype(float) @ np.array([1.0, 2.0, 1.0, 3.0, 1.0, 0.5]) - 2.0 * (networks[:, 0] == networks[:, 1])


def one_shot(networks: Architectures) -> Floats:
    """Systematically wrong: the fourth block is judged the other way round."""
    return truth(networks) - 5.0 * networks[:, 3]


@pytest.fixture(scope="module")
def base(graph: SpaceGraph, networks: Architectures) -> WindowedPredictor:
    rows = np.random.default_rng(0).choice(len(networks), 100, replace=False)
    return WindowGP().fit(graph, networks[rows], one_shot(networks[rows]), seed=0)


@pytest.fixture(scope="module")
def labelled(networks: Architectures) -> np.ndarray:
    return np.random.default_rng(1).choice(len(networks), 30, replace=False)


def test_labels_mend_a_systematic_error(base: WindowedPredictor, networks: Architectures, labelled: np.ndarray) -> None:
    fitted = calibrate(base, networks[labelled], truth(networks[labelled]), seed=0)
    before, after = (kendall_tau(p.rank(networks), truth(networks)) for p in (base, fitted))
    assert after > before + 0.15
    assert after > 0.8


def test_few_labels_leave_the_order_as_it_is(base: WindowedPredictor, networks: Architectures) -> None:
    order = base.rank(networks)
    rows = np.argsort(-order)[[0, 40, 200]]
    fitted = calibrate(base, networks[rows], order[rows], seed=0)
    assert kendall_tau(fitted.predict(networks).mean, base.terms.screen(networks)) > 0.7


def test_the_terms_are_the_order_and_the_std_is_the_covariances(
    base: WindowedPredictor, networks: Architectures, labelled: np.ndarray
) -> None:
    fitted = calibrate(base, networks[labelled], truth(networks[labelled]), seed=0)
    assert isinstance(fitted, WindowedPredictor)
    np.testing.assert_allclose(fitted.terms(networks), fitted.rank(networks))
    some = networks[:40]
    variances = np.diag(fitted.overall.covariance(some))
    np.testing.assert_allclose(fitted.predict(some).std ** 2, np.maximum(variances, 0.0), atol=1e-9)


def test_the_mean_is_the_posterior_mean(base: WindowedPredictor, networks: Architectures, labelled: np.ndarray) -> None:
    """The terms equal the dense posterior mean, up to a prior mean that is linear in the inputs."""
    labels = truth(networks[labelled])
    posterior = calibrate(base, networks[labelled], labels, seed=0).overall
    order, some = base.terms, networks[labelled]
    targets = matched_scores(labels, quantile_scores(order(some), order(_all(base.graph))))
    every = posterior.inputs.values(_all(base.graph))
    goal = quantile_scores(order(_all(base.graph)), order(_all(base.graph)))
    slopes = np.linalg.lstsq(every, goal, rcond=None)[0]
    prior = [posterior.inputs.values(rows) @ slopes for rows in (networks, some)]
    parts = posterior.inputs.covariances(networks, some)
    cross = sum(v * part for v, part in zip(posterior.variances, parts, strict=False))
    expected = prior[0] + cross @ np.linalg.solve(posterior.factor @ posterior.factor.T, targets - prior[1])
    np.testing.assert_allclose(posterior.terms(networks), expected, atol=1e-8)


def _all(graph: SpaceGraph) -> Architectures:
    return np.indices(graph.num_choices, dtype=np.uint8).reshape(len(graph.num_choices), -1).T


def test_only_the_order_of_labels_counts(
    base: WindowedPredictor, networks: Architectures, labelled: np.ndarray
) -> None:
    labels = truth(networks[labelled])
    one, other = (calibrate(base, networks[labelled], values, seed=0) for values in (labels, np.exp(labels)))
    np.testing.assert_array_equal(one.rank(networks), other.rank(networks))


def test_a_saved_fit_answers_as_before(
    base: WindowedPredictor, networks: Architectures, labelled: np.ndarray, tmp_path: Path
) -> None:
    fitted = calibrate(base, networks[labelled], truth(networks[labelled]), seed=0)
    fitted.save(tmp_path)
    loaded = load(tmp_path, base.graph)
    np.testing.assert_array_equal(loaded.rank(networks), fitted.rank(networks))
    np.testing.assert_array_equal(loaded.predict(networks).std, fitted.predict(networks).std)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".safetensors"}


def test_matched_scores_take_the_values_of_the_predictions() -> None:
    np.testing.assert_array_equal(matched_scores(np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.9, 0.5])), [0.9, 0.1, 0.5])
    np.testing.assert_array_equal(matched_scores(np.array([1.0, 1.0]), np.array([0.0, 1.0])), [0.5, 0.5])


def test_the_gradient_of_the_evidence() -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(3, 8, 8))
    parts = np.concatenate([factors @ factors.transpose(0, 2, 1), np.eye(8)[None]])
    goal, logs = rng.normal(size=8), rng.normal(size=4)
    _, slope = _loss(logs, parts, goal)
    for p in range(4):
        step = 1e-5 * np.eye(4)[p]
        numeric = (_loss(logs + step, parts, goal)[0] - _loss(logs - step, parts, goal)[0]) / 2e-5
        assert slope[p] == pytest.approx(numeric, rel=1e-5, abs=1e-7)


def test_labels_that_cannot_be_fitted(base: WindowedPredictor, networks: Architectures) -> None:
    with pytest.raises(DataError, match="nothing to rank"):
        calibrate(base, networks[:5], np.ones(5), seed=0)
