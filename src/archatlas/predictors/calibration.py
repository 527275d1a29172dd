"""The calibrated predictor: a one-shot fit corrected by a few true labels.

The error of one-shot scores is systematic, so a few stand-alone trainings go far. The labels are the sum of

- the one-shot fit's screen, its smooth rank and the capacity, each with a slope of its own,
- a correction of the main effects, shared between blocks as in every predictor here,
- a correction of the interactions of neighbouring blocks, and noise,

a Gaussian process whose variances are chosen by the evidence: it decides how far the one-shot scores are trusted.
Every part is a sum over windows of the chain, so the calibrated order has an exact atlas on spaces of any size.

Labels are few and often chosen for being good. For the order of the whole space they are therefore put on the scale of
the one-shot fit (the best label takes the best predicted score among the labelled networks, and so on); for the order
among the best, on their own normal scores, which spread the best apart. The first screens, the second ranks.

Legend: `A` architectures, `N` labelled networks, `F` inputs, `P` variances.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.optimize
from scipy.special import ndtri
from scipy.stats import rankdata

from archatlas.predictors.artifacts import Artifact, terms_to_tensors, write_artifact
from archatlas.predictors.base import WindowedPredictor
from archatlas.predictors.effects import add, capacity
from archatlas.predictors.kernels import (
    main_covariance,
    main_variance,
    process_terms,
    similarities,
    window_covariance,
)
from archatlas.predictors.live import strip_dead
from archatlas.predictors.order import reference_architectures, threshold_at
from archatlas.predictors.targets import check_samples, normal_scores
from archatlas.records import Architectures, Floats, Prediction, TwoStageTerms, WindowTerms
from archatlas.spaces import SpaceGraph

KIND = "calibrated"
BASE = "one_shot"
"""Folder of the one-shot fit beside the calibrated one."""

RADIUS = 2
"""How far the corrected interactions reach."""

KEEP = 0.1
"""Share of the space whose order is that among the best."""

_MEDIAN, _SPREAD = 0.1, 1.5
"""Prior of every variance: log-normal; labels have variance 1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What the process sees of an architecture.

    Args:
        graph: The space.
        features: `F` window terms, standardised over the space.
    """

    graph: SpaceGraph
    features: tuple[WindowTerms, ...]

    def values(self, alive: Architectures) -> Floats:
        """Return `(A, F + 1)`: the features and a constant."""
        return np.stack([*(feature(alive) for feature in self.features), np.ones(len(alive))], axis=1)

    def covariances(self, left: Architectures, right: Architectures) -> list[Floats]:
        """Return the `P - 1` covariances `(A, N)` of unit variance, without noise."""
        linear = [np.outer(a, b) for a, b in zip(self.values(left).T, self.values(right).T, strict=True)]
        window = window_covariance(similarities(self.graph), left, right, RADIUS)
        return [*linear, main_covariance(self.graph, left, right), window]

    def variance(self, alive: Architectures, variances: Floats) -> Floats:
        """Return the prior variance `(A,)`."""
        linear = np.square(self.values(alive)) @ variances[: len(self.features) + 1]
        return np.asarray(linear + variances[-3] * main_variance(self.graph, alive) + variances[-2])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """A fitted process.

    Args:
        inputs: What it sees.
        samples: `(N, L)` labelled networks without dead operators.
        variances: `(P,)`: of each feature's slope, the constant, main effects, interactions, noise.
        factor: `(N, N)`, lower Cholesky factor of the labels' covariance.
        terms: Its mean, as window terms.
    """

    inputs: Inputs
    samples: Architectures
    variances: Floats
    factor: Floats
    terms: WindowTerms

    def covariance(self, alive: Architectures) -> Floats:
        """Return the posterior covariance `(A, A)`."""
        half = self._half(alive)
        prior = _mixed(self.inputs.covariances(alive, alive), self.variances)
        return np.asarray(prior - half.T @ half)

    def std(self, alive: Architectures) -> Floats:
        """Return the posterior standard deviation `(A,)`, without noise."""
        own = self.inputs.variance(alive, self.variances)
        return np.asarray(np.sqrt(np.maximum(own - np.square(self._half(alive)).sum(axis=0), 0.0)))

    def _half(self, alive: Architectures) -> Floats:
        cross = _mixed(self.inputs.covariances(alive, self.samples), self.variances)
        return np.asarray(scipy.linalg.solve_triangular(self.factor, cross.T, lower=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedCalibration:
    """A one-shot fit corrected by labels.

    Args:
        base: The one-shot fit.
        overall: The process that orders the space.
        among_best: The process that orders its best part.
        threshold: Smallest overall score of that part.
    """

    base: WindowedPredictor
    overall: Posterior
    among_best: Posterior
    threshold: float

    @property
    def graph(self) -> SpaceGraph:
        """The space."""
        return self.base.graph

    @property
    def terms(self) -> TwoStageTerms:
        """The order of `rank` as window terms."""
        return TwoStageTerms(screen=self.overall.terms, rank=self.among_best.terms, threshold=self.threshold)

    def predict(self, architectures: Architectures) -> Prediction:
        """Return mean and std of the overall process for `(A, L)`."""
        alive = strip_dead(self.graph, architectures)
        return Prediction(mean=self.overall.terms(alive), std=self.overall.std(alive))

    def rank(self, architectures: Architectures) -> Floats:
        """Return the two-stage order `(A,)`, higher is better."""
        return self.terms(strip_dead(self.graph, architectures))

    def save(self, directory: Path) -> None:
        """Write the one-shot fit to `one_shot/`, then labels, variances and terms."""
        self.base.save(directory / BASE)
        tensors = {"samples": self.overall.samples, "threshold": np.asarray(self.threshold)}
        for i, feature in enumerate(self.overall.inputs.features):
            tensors |= terms_to_tensors(f"feature{i}", feature)
        for name, posterior in (("overall", self.overall), ("among_best", self.among_best)):
            tensors |= {f"{name}_variances": posterior.variances, f"{name}_factor": posterior.factor}
            tensors |= terms_to_tensors(name, posterior.terms)
        settings = {"features": len(self.overall.inputs.features)}
        write_artifact(directory, KIND, self.graph, tensors, settings)


def read_calibration(artifact: Artifact, base: WindowedPredictor) -> FittedCalibration:
    """Return what `FittedCalibration.save` wrote."""
    features = tuple(artifact.terms(f"feature{i}") for i in range(artifact.number("features")))
    inputs = Inputs(graph=base.graph, features=features)
    posteriors = {
        name: Posterior(
            inputs=inputs,
            samples=artifact.tensors["samples"],
            variances=artifact.tensors[f"{name}_variances"],
            factor=artifact.tensors[f"{name}_factor"],
            terms=artifact.terms(name),
        )
        for name in ("overall", "among_best")
    }
    return FittedCalibration(base=base, **posteriors, threshold=float(artifact.tensors["threshold"]))


def calibrate(base: WindowedPredictor, architectures: Architectures, labels: Floats, *, seed: int) -> FittedCalibration:
    """Correct a one-shot fit by true labels.

    Args:
        base: The fit to one-shot scores.
        architectures: `(N, L)` labelled networks.
        labels: `(N,)` their true scores in any unit, higher is better; only their order counts.
        seed: Of the architectures that quantiles are taken over, in spaces too large to enumerate.

    Raises:
        DataError: If the labels cannot be fitted.
    """
    graph = base.graph
    check_samples(graph.num_choices, architectures, labels)
    reference, samples = reference_architectures(graph, seed=seed), strip_dead(graph, architectures)
    order = base.terms
    raw = (order.screen, order.rank, capacity(graph))
    inputs = Inputs(graph=graph, features=tuple(_standardised(feature, reference) for feature in raw))
    ranked = order(reference)
    slopes, *_ = np.linalg.lstsq(inputs.values(reference), quantile_scores(ranked, ranked), rcond=None)
    mean = _combined(inputs, np.asarray(slopes, dtype=float))
    overall = _condition(inputs, mean, samples, matched_scores(labels, quantile_scores(order(samples), ranked)))
    return FittedCalibration(
        base=base,
        overall=overall,
        among_best=_condition(inputs, _standardised(mean, samples), samples, normal_scores(labels)),
        threshold=threshold_at(overall.terms(reference), KEEP),
    )


def quantile_scores(scores: Floats, population: Floats) -> Floats:
    """Return the normal scores `(N,)` that scores have in a population `(A,)`."""
    below = np.searchsorted(np.sort(population), scores, side="left")
    return np.asarray(ndtri((below + 0.5) / (len(population) + 1)))


def matched_scores(labels: Floats, predicted: Floats) -> Floats:
    """Return labels `(N,)` on the scale of predictions `(N,)`: in the order of the labels, the predictions' values.

    Equal labels share the mean of their places.
    """
    return np.asarray(np.interp(rankdata(labels), np.arange(1, len(labels) + 1), np.sort(predicted)))


def _standardised(terms: WindowTerms, reference: Architectures) -> WindowTerms:
    values = terms(reference)
    spread = max(float(values.std()), 1e-12)
    scaled = add((1.0 / spread, terms))
    return WindowTerms(radius=scaled.radius, terms=scaled.terms, offset=scaled.offset - float(values.mean()) / spread)


def _combined(inputs: Inputs, slopes: Floats) -> WindowTerms:
    """Return the sum of features by slopes `(F + 1,)`, the last one of the constant."""
    total = add(*((float(slope), feature) for slope, feature in zip(slopes, inputs.features, strict=False)))
    return WindowTerms(radius=total.radius, terms=total.terms, offset=total.offset + float(slopes[-1]))


def _condition(inputs: Inputs, mean: WindowTerms, samples: Architectures, targets: Floats) -> Posterior:
    """Fit targets `(N,)` of samples `(N, L)`, given their mean before any label is seen."""
    goal = targets - mean(samples)
    parts = inputs.covariances(samples, samples)
    parts.append(np.eye(len(goal)))
    start = np.full(len(parts), np.log(_MEDIAN))
    found = scipy.optimize.minimize(_loss, start, args=(np.stack(parts), goal), jac=True, method="L-BFGS-B")
    variances = np.exp(found.x)
    factor = scipy.linalg.cholesky(_mixed(parts, variances), lower=True)
    weights = scipy.linalg.cho_solve((factor, True), goal)
    terms = add((1.0, mean), (1.0, _correction(inputs, samples, variances, weights)))
    return Posterior(inputs=inputs, samples=samples, variances=variances, factor=factor, terms=terms)


def _loss(logs: Floats, parts: Floats, goal: Floats) -> tuple[float, Floats]:
    """Return minus the log posterior of log variances `(P,)`, up to a constant, and its gradient.

    With `K = sum_p v_p K_p`, `a = K^-1 y`: the gradient of the evidence in `log v_p` is
    `v_p / 2 (a^T K_p a - trace(K^-1 K_p))`.
    """
    variances = np.exp(logs)
    factor = scipy.linalg.cholesky(np.tensordot(variances, parts, axes=1) + 1e-9 * np.eye(len(goal)), lower=True)
    inverse = scipy.linalg.cho_solve((factor, True), np.eye(len(goal)))
    weights = inverse @ goal
    distance = (logs - np.log(_MEDIAN)) / _SPREAD
    value = 0.5 * float(goal @ weights) + float(np.log(np.diag(factor)).sum()) + 0.5 * float(distance @ distance)
    slope = 0.5 * variances * np.tensordot(parts, inverse - np.outer(weights, weights), axes=2)
    return value, slope + distance / _SPREAD


def _mixed(parts: list[Floats], variances: Floats) -> Floats:
    """Return the sum of parts by their variances; the last variance, of the noise, may have no part."""
    return np.asarray(sum(variance * part for variance, part in zip(variances, parts, strict=False)))


def _correction(inputs: Inputs, samples: Architectures, variances: Floats, weights: Floats) -> WindowTerms:
    """Return by how much the labels change the mean, as window terms."""
    slopes = variances[: len(inputs.features) + 1] * (inputs.values(samples).T @ weights)
    main, interaction = map(float, variances[-3:-1])
    process = process_terms(inputs.graph, samples, weights, main=main, interaction=interaction, radius=RADIUS)
    return add((1.0, _combined(inputs, slopes)), (1.0, process))
