"""`GlobalGP`: the same process as `WindowGP` with one window, the whole architecture, in closed form.

Not a sum over windows: it serves spaces that can be enumerated, short-lists and cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg

from archatlas.predictors.artifacts import Artifact, order_from_artifact, order_to_tensors, write_artifact
from archatlas.predictors.gp_evidence import GaussianProcess, condition
from archatlas.predictors.kernels import main_covariance, main_variance, similarities, window_covariance
from archatlas.predictors.live import strip_dead
from archatlas.predictors.order import Order, OrderConfig, build_order
from archatlas.predictors.targets import check_samples, normal_scores
from archatlas.records import Architectures, Floats, Prediction
from archatlas.spaces import SpaceGraph

KIND = "global_gp"
_BATCH = 2048


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedGlobalGP:
    """A fitted `GlobalGP`.

    Args:
        graph: The space.
        samples: `(N, L)` without dead operators.
        process: The posterior.
        order: The two-stage order.
    """

    graph: SpaceGraph
    samples: Architectures
    process: GaussianProcess
    order: Order

    def predict(self, architectures: Architectures) -> Prediction:
        """Return posterior mean and std for `(A, L)`."""
        alive = strip_dead(self.graph, architectures)
        blocks = [alive[i : i + _BATCH] for i in range(0, len(alive), _BATCH)]
        stds = [self._std(block) for block in blocks]
        mean = _means(self.graph, self.samples, self.process, alive)
        return Prediction(mean=mean, std=np.concatenate(stds) if stds else np.zeros(0))

    def rank(self, architectures: Architectures) -> Floats:
        """Return the two-stage order `(A,)`, higher is better."""
        alive = strip_dead(self.graph, architectures)
        return self.order(_means(self.graph, self.samples, self.process, alive), alive)

    def save(self, directory: Path) -> None:
        """Write samples, weights and order as safetensors."""
        process = self.process
        numbers = np.array([process.main, process.interaction, process.noise, process.offset])
        tensors = {"samples": self.samples, "weights": process.weights, "factor": process.factor, "numbers": numbers}
        write_artifact(directory, KIND, self.graph, tensors | order_to_tensors(self.order), {})

    def _std(self, alive: Architectures) -> Floats:
        cross = _covariance(self.graph, self.process, alive, self.samples)
        half = scipy.linalg.solve_triangular(self.process.factor, cross.T, lower=True)
        own = self.process.main * main_variance(self.graph, alive) + self.process.interaction
        return np.asarray(np.sqrt(np.maximum(own - (half**2).sum(axis=0), 0.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalGP:
    """A Gaussian process over whole architectures; see the module."""

    order: OrderConfig = OrderConfig()

    @property
    def name(self) -> str:
        """Shown in reports."""
        return KIND

    def fit(self, graph: SpaceGraph, architectures: Architectures, scores: Floats, *, seed: int) -> FittedGlobalGP:
        """Fit to scores `(A,)` (higher better) of architectures `(A, L)`."""
        check_samples(graph.num_choices, architectures, scores)
        alive, targets = strip_dead(graph, architectures), normal_scores(scores)
        similar = similarities(graph)
        product = window_covariance(similar, alive, alive, len(similar))
        process = condition(main_covariance(graph, alive, alive), product, targets)

        def flexible(rows: Architectures) -> Floats:
            return _means(graph, alive, process, rows)

        order = build_order(graph, alive, targets, flexible, self.order, seed=seed)
        return FittedGlobalGP(graph=graph, samples=alive, process=process, order=order)


def read_global_gp(artifact: Artifact, graph: SpaceGraph) -> FittedGlobalGP:
    """Return what `FittedGlobalGP.save` wrote."""
    tensors = artifact.tensors
    main, interaction, noise, offset = (float(number) for number in tensors["numbers"])
    process = GaussianProcess(
        main=main,
        interaction=interaction,
        noise=noise,
        weights=tensors["weights"],
        offset=offset,
        factor=tensors["factor"],
    )
    order = order_from_artifact(artifact)
    return FittedGlobalGP(graph=graph, samples=tensors["samples"], process=process, order=order)


def _covariance(graph: SpaceGraph, process: GaussianProcess, left: Architectures, right: Architectures) -> Floats:
    similar = similarities(graph)
    product = window_covariance(similar, left, right, len(similar))
    return process.main * main_covariance(graph, left, right) + process.interaction * product


def _means(graph: SpaceGraph, samples: Architectures, process: GaussianProcess, alive: Architectures) -> Floats:
    blocks = [alive[i : i + _BATCH] for i in range(0, len(alive), _BATCH)]
    parts = [process.offset + _covariance(graph, process, block, samples) @ process.weights for block in blocks]
    return np.concatenate(parts) if parts else np.zeros(0)
