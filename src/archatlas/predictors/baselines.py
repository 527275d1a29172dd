"""The yardsticks: scikit-learn's regressors on one-hot operators, and the trivial scores MACs, parameters and depth.

A fitted regressor is not pickled: what is saved is the samples it was fitted to, and loading repeats the fit, which is
deterministic.

Legend: `A` architectures, `L` nodes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import Ridge as RidgeRegressor
from sklearn.neural_network import MLPRegressor

from archatlas.predictors.artifacts import Artifact, write_artifact
from archatlas.predictors.effects import one_hot
from archatlas.predictors.links import identity_link
from archatlas.predictors.live import strip_dead
from archatlas.predictors.order import Order, OrderConfig, build_order
from archatlas.predictors.targets import check_samples, normal_scores
from archatlas.predictors.windows import FittedWindows, finish
from archatlas.records import Architectures, Floats, Prediction, WindowTerms
from archatlas.spaces import SpaceGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """Additive: scikit-learn's ridge regression on one-hot operators, each block on its own."""

    order: OrderConfig = OrderConfig()

    @property
    def name(self) -> str:
        """Shown in reports."""
        return "ridge"

    def fit(self, graph: SpaceGraph, architectures: Architectures, scores: Floats, *, seed: int) -> FittedWindows:
        """Fit to scores `(A,)` (higher better) of architectures `(A, L)`."""
        check_samples(graph.num_choices, architectures, scores)
        alive, targets = strip_dead(graph, architectures), normal_scores(scores)
        member = self.fit_values(graph, alive, targets)
        return finish(self.name, graph, (member,), identity_link(), (alive, targets), self.order, seed=seed)

    @staticmethod
    def fit_values(graph: SpaceGraph, architectures: Architectures, values: Floats) -> WindowTerms:
        """Return the additive terms of values `(A,)` of architectures `(A, L)`, in the unit of the values."""
        model = RidgeRegressor(alpha=1.0).fit(one_hot(graph.num_choices, architectures), values)
        entries = np.split(np.asarray(model.coef_), np.cumsum(graph.num_choices)[:-1])
        return WindowTerms(radius=0, terms=tuple(entries), offset=float(model.intercept_))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedRegressor:
    """A fitted scikit-learn regressor with the two-stage order over it.

    Args:
        predictor: What fitted it.
        graph: The space.
        samples: `(A, L)` it was fitted to, without dead operators.
        targets: `(A,)` their normal scores.
        seed: Of the fit.
        model: The regressor.
        order: The two-stage order.
    """

    predictor: Regressor
    graph: SpaceGraph
    samples: Architectures
    targets: Floats
    seed: int
    model: Any
    order: Order

    def predict(self, architectures: Architectures) -> Prediction:
        """Return the regressor's mean for `(A, L)`; the std of a GP or of a forest's trees, else 0."""
        features = one_hot(self.graph.num_choices, strip_dead(self.graph, architectures))
        if isinstance(self.model, GaussianProcessRegressor):
            mean, std = self.model.predict(features, return_std=True)
            return Prediction(mean=mean, std=std)
        mean = np.asarray(self.model.predict(features), dtype=float)
        if isinstance(self.model, RandomForestRegressor):
            std = np.std([tree.predict(features) for tree in self.model.estimators_], axis=0)
            return Prediction(mean=mean, std=std)
        return Prediction(mean=mean, std=np.zeros_like(mean))

    def rank(self, architectures: Architectures) -> Floats:
        """Return the two-stage order `(A,)`, higher is better."""
        return self.order(self.predict(architectures).mean, strip_dead(self.graph, architectures))

    def save(self, directory: Path) -> None:
        """Write the samples and settings that repeat the fit."""
        tensors = {"samples": self.samples, "targets": self.targets}
        settings = {"seed": self.seed, "order": self.predictor.order.model_dump()}
        write_artifact(directory, self.predictor.kind, self.graph, tensors, settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regressor:
    """A scikit-learn regressor: `random_forest`, `gradient_boosting`, `gp` or `mlp`."""

    kind: str
    order: OrderConfig = OrderConfig()

    @property
    def name(self) -> str:
        """Shown in reports."""
        return self.kind

    def fit(self, graph: SpaceGraph, architectures: Architectures, scores: Floats, *, seed: int) -> FittedRegressor:
        """Fit to scores `(A,)` (higher better) of architectures `(A, L)`."""
        check_samples(graph.num_choices, architectures, scores)
        return self.fit_targets(graph, strip_dead(graph, architectures), normal_scores(scores), seed=seed)

    def fit_targets(self, graph: SpaceGraph, samples: Architectures, targets: Floats, *, seed: int) -> FittedRegressor:
        """Fit to normal scores `(A,)` of architectures `(A, L)` without dead operators."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a bound on epochs or variances is a setting here
            model = REGRESSORS[self.kind](seed).fit(one_hot(graph.num_choices, samples), targets)

        def flexible(architectures: Architectures) -> Floats:
            return np.asarray(model.predict(one_hot(graph.num_choices, architectures)), dtype=float)

        order = build_order(graph, samples, targets, flexible, self.order, seed=seed)
        return FittedRegressor(
            predictor=self, graph=graph, samples=samples, targets=targets, seed=seed, model=model, order=order
        )


def _gaussian_process(seed: int) -> Any:
    kernel = ConstantKernel(1.0) * RBF(3.0, (0.5, 50.0)) + WhiteKernel(0.1, (1e-3, 2.0))
    return GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)


REGRESSORS: dict[str, Callable[[int], Any]] = {
    "random_forest": lambda seed: RandomForestRegressor(200, random_state=seed),
    "gradient_boosting": lambda seed: GradientBoostingRegressor(n_estimators=200, random_state=seed),
    "gp": _gaussian_process,
    "mlp": lambda seed: MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=300, random_state=seed),
}
"""What builds each regressor from a seed."""


def read_regressor(artifact: Artifact, graph: SpaceGraph) -> FittedRegressor:
    """Repeat the fit that `FittedRegressor.save` wrote."""
    predictor = Regressor(kind=artifact.kind, order=OrderConfig(**artifact.settings["order"]))
    samples = artifact.tensors["samples"], artifact.tensors["targets"]
    return predictor.fit_targets(graph, *samples, seed=artifact.number("seed"))


def trivial_scores(graph: SpaceGraph, architectures: Architectures) -> dict[str, Floats]:
    """Return what every report must show beside a predictor: MACs, parameters and depth of `(A, L)`, each `(A,)`.

    Depth is the number of operators that are alive and are no identity: an operator that does nothing at one node
    counts as an identity wherever it stands (at a change of shape it only projects).
    """
    alive = strip_dead(graph, architectures)
    scores = {name: graph.costs[name](alive) for name in ("macs", "params") if name in graph.costs}
    identities = {o for idle in graph.no_ops for o, does_nothing in enumerate(idle) if does_nothing}
    return scores | {"depth": (~np.isin(alive, list(identities))).sum(axis=1).astype(float)}
