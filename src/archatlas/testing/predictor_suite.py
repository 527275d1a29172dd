"""The conformance suite of predictors: what every one of them must keep, on a tiny space.

Call `check_predictor` from a test for each predictor.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archatlas.errors import ArtifactMismatchError, DataError
from archatlas.predictors import Predictor, WindowedPredictor, load
from archatlas.predictors.base import FittedPredictor
from archatlas.predictors.live import strip_dead
from archatlas.records import Architectures, Floats
from archatlas.spaces import SpaceGraph


def check_predictor(
    predictor: Predictor, graph: SpaceGraph, architectures: Architectures, scores: Floats, directory: Path
) -> None:
    """Run every check.

    Args:
        predictor: What is checked.
        graph: Its space.
        architectures: `(A, L)`, the whole of a tiny space.
        scores: `(A,)`, higher is better, learnable.
        directory: An empty folder.
    """
    fitted = predictor.fit(graph, architectures, scores, seed=0)
    check_shapes(fitted, architectures)
    check_learns(fitted, architectures, scores)
    check_unit_free(predictor, fitted, architectures, scores)
    check_seeded(predictor, fitted, architectures, scores)
    check_saved(fitted, architectures, directory)
    check_refusals(predictor, graph, architectures, scores)
    if isinstance(fitted, WindowedPredictor):
        check_terms(fitted, architectures)


def check_shapes(fitted: FittedPredictor, architectures: Architectures) -> None:
    """One finite mean, std >= 0 and rank per architecture, whatever the batch."""
    prediction = fitted.predict(architectures)
    rank = fitted.rank(architectures)
    assert prediction.mean.shape == prediction.std.shape == rank.shape == (len(architectures),)
    assert np.isfinite(prediction.mean).all()
    assert np.isfinite(rank).all()
    assert (prediction.std >= 0).all()
    np.testing.assert_allclose(fitted.rank(architectures[3:5]), rank[3:5], atol=1e-5)
    np.testing.assert_allclose(fitted.predict(architectures[3:5]).mean, prediction.mean[3:5], atol=1e-5)


def check_learns(fitted: FittedPredictor, architectures: Architectures, scores: Floats) -> None:
    """Higher predictions go with higher scores."""
    assert np.corrcoef(fitted.predict(architectures).mean, scores)[0, 1] > 0.5


def check_unit_free(
    predictor: Predictor, fitted: FittedPredictor, architectures: Architectures, scores: Floats
) -> None:
    """Percent and fractions give the same fit: only the order of the scores counts."""
    percent = predictor.fit(fitted.graph, architectures, 100.0 * scores, seed=0)
    np.testing.assert_array_equal(percent.rank(architectures), fitted.rank(architectures))


def check_seeded(predictor: Predictor, fitted: FittedPredictor, architectures: Architectures, scores: Floats) -> None:
    """The same seed gives the same answers, and the global random state is neither used nor changed."""
    state = np.random.get_state()[1].copy()  # type: ignore[index]
    again = predictor.fit(fitted.graph, architectures, scores, seed=0)
    np.testing.assert_array_equal(again.predict(architectures).mean, fitted.predict(architectures).mean)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # type: ignore[index]


def check_saved(fitted: FittedPredictor, architectures: Architectures, directory: Path) -> None:
    """A saved predictor answers as before, without a pickle, and refuses another space."""
    fitted.save(directory)
    assert sorted(p.suffix for p in directory.iterdir()) == [".json", ".safetensors"]
    loaded = load(directory, fitted.graph)
    np.testing.assert_array_equal(loaded.rank(architectures), fitted.rank(architectures))
    np.testing.assert_array_equal(loaded.predict(architectures).mean, fitted.predict(architectures).mean)
    np.testing.assert_array_equal(loaded.predict(architectures).std, fitted.predict(architectures).std)
    with pytest.raises(ArtifactMismatchError, match="was fitted on"):
        load(directory, fitted.graph.prefix(len(fitted.graph.num_choices) - 1))


def check_refusals(predictor: Predictor, graph: SpaceGraph, architectures: Architectures, scores: Floats) -> None:
    """Samples that nothing can be learnt from are refused by name."""
    with pytest.raises(DataError, match="nothing to rank"):
        predictor.fit(graph, architectures, np.ones(len(architectures)), seed=0)
    with pytest.raises(DataError, match="finite"):
        predictor.fit(graph, architectures, np.where(np.arange(len(scores)) == 1, np.nan, scores), seed=0)
    with pytest.raises(DataError, match="one score for each"):
        predictor.fit(graph, architectures, scores[1:], seed=0)


def check_terms(fitted: WindowedPredictor, architectures: Architectures) -> None:
    """The window terms give the same order as `rank`, to rounding."""
    alive = strip_dead(fitted.graph, architectures)
    np.testing.assert_allclose(fitted.terms(alive), fitted.rank(architectures), atol=1e-9)
