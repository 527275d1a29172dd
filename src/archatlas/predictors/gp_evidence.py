"""Gaussian-process regression on precomputed covariances, variances chosen by the evidence.

Legend: `N` samples.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from archatlas.records import Floats

MAIN_VARIANCES = (0.05, 0.2, 1.0, 4.0)
INTERACTION_VARIANCES = (0.1, 0.5, 2.0, 8.0)
NOISES = (0.01, 0.03, 0.1, 0.3)
MOST_SAMPLES = 400
"""Number of samples, evenly spread over the given ones, that the evidence is taken over."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GaussianProcess:
    """A posterior: `mean(a) = offset + sum_n weights[n] * (main * M(a, n) + interaction * W(a, n))`.

    Args:
        main: Variance of main effects.
        interaction: Variance of interactions.
        noise: Variance of a target's error.
        weights: `(N,)`.
        offset: Mean of the targets.
        factor: `(N, N)`, lower Cholesky factor of the targets' covariance.
    """

    main: float
    interaction: float
    noise: float
    weights: Floats
    offset: float
    factor: Floats


def condition(main: Floats, interaction: Floats, targets: Floats) -> GaussianProcess:
    """Fit targets `(N,)` with covariances `(N, N)` of main effects and of interactions."""
    offset = float(targets.mean())
    goal = targets - offset
    some = np.unique(np.linspace(0, len(goal) - 1, min(len(goal), MOST_SAMPLES)).astype(int))
    block = np.ix_(some, some)
    _, variances = max(
        (_log_evidence(v[0] * main[block] + v[1] * interaction[block], goal[some], v[2]), v)
        for v in itertools.product(MAIN_VARIANCES, INTERACTION_VARIANCES, NOISES)
    )
    covariance = variances[0] * main + variances[1] * interaction + variances[2] * np.eye(len(goal))
    factor = scipy.linalg.cholesky(covariance, lower=True)
    return GaussianProcess(
        main=variances[0],
        interaction=variances[1],
        noise=variances[2],
        weights=scipy.linalg.cho_solve((factor, True), goal),
        offset=offset,
        factor=factor,
    )


def _log_evidence(covariance: Floats, targets: Floats, noise: float) -> float:
    """Return the log marginal likelihood up to a constant."""
    factor = scipy.linalg.cholesky(covariance + noise * np.eye(len(targets)), lower=True)
    half = scipy.linalg.solve_triangular(factor, targets, lower=True)
    return -0.5 * float(half @ half) - float(np.log(np.diag(factor)).sum())
