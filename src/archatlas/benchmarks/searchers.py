"""Ways to choose which networks to train stand-alone, on a table that knows the outcome of every training.

Each returns the rows of a table in the order in which it trains them, none twice.

Legend: `A` networks of the table, `N` trainings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from archatlas.benchmarks.supernet_rows import acquired
from archatlas.benchmarks.tables import Task
from archatlas.errors import ConfigError
from archatlas.predictors import Predictor, WindowedPredictor
from archatlas.predictors.metrics import best
from archatlas.predictors.window_gcn import WindowGCN
from archatlas.predictors.window_gp import WindowGP
from archatlas.records import Architecture

Searcher = Callable[[Task, int, int], np.ndarray]
"""`(task, trainings, seed)` -> rows `(N,)` of the table, in the order of their training."""

_POPULATION, _TOURNAMENT = 20, 5
_ROUND = 10
_TRIES = 10_000


@dataclass(slots=True)
class _Trainings:
    """The table as a trainer; a network that was trained before costs nothing."""

    task: Task
    rows: dict[int, None] = field(default_factory=dict)
    _places: dict[Architecture, int] = field(init=False)

    def __post_init__(self) -> None:
        self._places = {tuple(row): i for i, row in enumerate(self.task.architectures.tolist())}

    def place(self, architecture: Architecture) -> int:
        """Return the row of the network that an architecture is."""
        array = np.array([architecture], dtype=np.uint8)
        return self._places[tuple(self.task.graph.canonical(array)[0].tolist())]

    def train(self, architecture: Architecture) -> float:
        """Return the true score of an architecture and note its training."""
        row = self.place(architecture)
        self.rows[row] = None
        return float(self.task.truth[row])


def random_search(task: Task, trainings: int, seed: int) -> np.ndarray:
    """Networks drawn at random."""
    return np.random.default_rng(seed).permutation(len(task.truth))[:trainings]


def evolution(task: Task, trainings: int, seed: int) -> np.ndarray:
    """Regularised evolution (Real et al. 2019): a population of 20, tournaments of 5, one operator mutated."""
    rng, choices = np.random.default_rng(seed), task.graph.num_choices
    table = _Trainings(task)
    population: deque[tuple[float, Architecture]] = deque(maxlen=_POPULATION)
    for _ in range(_TRIES):
        if len(population) < _POPULATION:
            child = tuple(int(rng.integers(count)) for count in choices)
        else:
            rivals = [population[i] for i in rng.choice(_POPULATION, _TOURNAMENT, replace=False)]
            mutant, block = list(max(rivals)[1]), int(rng.integers(len(choices)))
            mutant[block] = int((mutant[block] + rng.integers(1, choices[block])) % choices[block])
            child = tuple(mutant)
        population.append((table.train(child), child))
        if len(table.rows) == trainings:
            break
    return np.array(list(table.rows))


def tpe(task: Task, trainings: int, seed: int) -> np.ndarray:
    """Optuna's tree-structured Parzen estimator, multivariate, one categorical parameter per block.

    Raises:
        ConfigError: If Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError("The searcher tpe needs Optuna; install it with: pip install 'archatlas[bench]'") from None
    table = _Trainings(task)

    def objective(trial: optuna.Trial) -> float:
        counts = task.graph.num_choices
        return table.train(tuple(trial.suggest_categorical(f"b{i}", list(range(n))) for i, n in enumerate(counts)))

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(_TRIES):
        study.optimize(objective, n_trials=1)
        if len(table.rows) == trainings:
            break
    optuna.logging.set_verbosity(verbosity)
    return np.array(list(table.rows))


def by_predictor(predictor: Predictor) -> Searcher:
    """Return the searcher that trains a predictor's best, fitted to the trainings so far; the first ten at random."""

    def search(task: Task, trainings: int, seed: int) -> np.ndarray:
        rows = np.random.default_rng(seed).permutation(len(task.truth))[: min(_ROUND, trainings)]
        while len(rows) < trainings:
            fitted = predictor.fit(task.graph, task.architectures[rows], task.truth[rows], seed=seed)
            score = np.array(fitted.predict(task.architectures).mean)
            score[rows] = -np.inf
            rows = np.concatenate([rows, best(score, min(_ROUND, trainings - len(rows)))])
        return rows

    return search


def calibrated(supernet: int, *, samples: int) -> Searcher:
    """Return our searcher: a fit to one-shot scores of a super-network, then rounds of acquisition."""

    def search(task: Task, trainings: int, seed: int) -> np.ndarray:
        assert task.one_shot is not None
        scored = np.random.default_rng((seed, 2)).choice(len(task.truth), samples, replace=False)
        scores = task.one_shot[supernet][scored]
        base = WindowGP().fit(task.graph, task.architectures[scored], scores, seed=seed)
        assert isinstance(base, WindowedPredictor)
        return acquired(task, base, trainings, seed)

    return search


SEARCHERS: Mapping[str, Searcher] = {
    "random": random_search,
    "evolution": evolution,
    "tpe": tpe,
    "gp": by_predictor(WindowGP()),
    "gcn": by_predictor(WindowGCN()),
}
"""Searchers that know nothing of a super-network."""
