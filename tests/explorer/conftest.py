"""A factored atlas of the tiny space with hostile names, as a run directory; the same enumerated; a large one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from archatlas.atlas import enumerate_space, tabulate
from archatlas.config import dump_config, parse_config
from archatlas.costs.macs import count_costs
from archatlas.explorer import Explorer, Knowledge, load_knowledge
from archatlas.files import write_json, write_text
from archatlas.records import Evaluation, Prediction, TwoStageTerms, WindowTerms
from archatlas.retraining import RetrainResult
from archatlas.spaces import SpaceGraph, chain_graph
from archatlas.store import EvaluationStore, Scope
from archatlas.testing.atlas_oracle import BruteForce, brute_force, random_terms
from archatlas.testing.tiny import tiny_space

HOSTILE = '<img src=x onerror="window.broken=1">"\'&é'


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE


class Ordered:
    """What `enumerate_space` tabulates, from window terms."""

    def __init__(self, graph: SpaceGraph, order: TwoStageTerms) -> None:
        self.graph, self.rank = graph, order

    def predict(self, architectures: np.ndarray) -> Prediction:
        return Prediction(mean=self.rank.screen(architectures), std=np.zeros(len(architectures)))


@pytest.fixture(scope="session")
def graph() -> SpaceGraph:
    space = tiny_space()
    graph = chain_graph(space, count_costs(space))
    names = tuple((names[0], names[1], HOSTILE) for names in graph.operator_names)
    return dataclasses.replace(graph, operator_names=names, name=f"tiny {HOSTILE}")


@pytest.fixture(scope="session")
def order(graph: SpaceGraph) -> TwoStageTerms:
    rng = np.random.default_rng(0)
    screen, rank = random_terms(graph.num_choices, 1, rng), random_terms(graph.num_choices, 0, rng)
    return TwoStageTerms(screen=screen, rank=rank, threshold=float(np.median(screen(_all(graph)))))


def _all(graph: SpaceGraph) -> np.ndarray:
    return np.indices(graph.num_choices).reshape(len(graph.num_choices), -1).T.astype(np.uint8)


@pytest.fixture(scope="session")
def truth(graph: SpaceGraph, order: TwoStageTerms) -> BruteForce:
    return brute_force(graph, order)


@pytest.fixture(scope="session")
def run(graph: SpaceGraph, order: TwoStageTerms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with scores of three networks and one trained from scratch."""
    path = tmp_path_factory.mktemp("runs with spaces") / "tiny"
    tabulate(graph, order).save(path / "atlas")
    config = parse_config({"space": "digits", "budgets": {"macs": 20_000.0}}, source="test")
    write_text(path / "config.yaml", dump_config(config))
    write_json(path / "supernet" / "supernet.json", {"space": "s", "data": "d", "weights": "w"})
    store = EvaluationStore(path / "evaluations.sqlite")
    scope = Scope(supernet="w", data="d", settings=config.evaluation.digest)
    for number, architecture in enumerate(((0, 0, 0), (1, 1, 1), (2, 2, 1))):
        store.add(scope, Evaluation(architecture=architecture, loss=1.0, accuracy=0.5 + number / 10, num_images=40))
    other = Scope(supernet="another", data="d", settings=config.evaluation.digest)
    store.add(other, Evaluation(architecture=(2, 2, 2), loss=1.0, accuracy=0.9, num_images=40))
    trained = RetrainResult(
        architecture=(1, 1, 1),
        validation_accuracy=0.8,
        validation_balanced_accuracy=0.8,
        test_accuracy=0.75,
        test_balanced_accuracy=0.7,
        test_loss=0.5,
        test_images=20,
    )
    header = dataclasses.asdict(trained) | {"format": 2, "space": "tiny", "architecture": "111"}
    write_json(path / "network" / "network.json", header)
    return path


@pytest.fixture(scope="session")
def fitted(graph: SpaceGraph, order: TwoStageTerms, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as `archatlas fit --table` writes it, with an enumerated atlas."""
    path = tmp_path_factory.mktemp("fitted")
    enumerate_space(Ordered(graph, order), path / "atlas")
    return path


@pytest.fixture(scope="session")
def explorer(run: Path) -> Explorer:
    return Explorer(load_knowledge(run))


@pytest.fixture(scope="session")
def enumerated(fitted: Path) -> Explorer:
    return Explorer(load_knowledge(fitted))


@pytest.fixture(scope="session")
def large() -> Explorer:
    """An atlas of 6^19 architectures."""
    rng = np.random.default_rng(1)
    from archatlas.testing.atlas_oracle import random_graph

    graph = random_graph((6,) * 19, rng)
    zero = WindowTerms(radius=0, terms=tuple(np.zeros(6) for _ in range(19)))
    order = TwoStageTerms(screen=zero, rank=random_terms(graph.num_choices, 0, rng), threshold=-np.inf)
    knowledge = Knowledge(
        path=Path("large"),
        atlas=tabulate(graph, order),
        config=None,
        is_run=False,
        measured={},
        stand_alone=None,
    )
    return Explorer(knowledge)
