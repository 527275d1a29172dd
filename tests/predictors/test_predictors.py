from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archatlas.costs.macs import count_costs
from archatlas.predictors import PredictorConfig, build_predictor
from archatlas.predictors.ensemble import TrainingConfig
from archatlas.spaces import SpaceGraph, chain_graph
from archatlas.spaces.digits import digits
from archatlas.testing.predictor_suite import check_predictor

NAMES = [
    "window_gcn",
    "global_gcn",
    "window_gp",
    "global_gp",
    "ridge",
    "random_forest",
    "gradient_boosting",
    "gp",
    "mlp",
]


@pytest.fixture(scope="module")
def graph() -> SpaceGraph:
    space = digits()
    return chain_graph(space, count_costs(space)).prefix(3)


@pytest.mark.parametrize("name", NAMES)
def test_conformance(name: str, graph: SpaceGraph, tmp_path: Path) -> None:
    architectures = np.indices(graph.num_choices, dtype=np.uint8).reshape(3, -1).T
    weights = np.array([0.5, 1.0, 0.25])
    scores = (architectures @ weights + 0.4 * (architectures[:, 0] == architectures[:, 1])) / 10
    config = PredictorConfig(name=name, hidden=8, training=TrainingConfig(members=2, steps=20))
    check_predictor(build_predictor(config), graph, architectures, scores, tmp_path)
