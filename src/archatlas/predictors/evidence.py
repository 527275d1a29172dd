"""Bayesian linear regression whose prior variances are chosen by the evidence (type-II maximum likelihood).

Legend: `A` samples, `D` features, `G` groups of features with a prior variance of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from archatlas.records import Floats

VARIANCES = (0.0, 0.01, 0.05, 0.2, 1.0, 4.0)
"""Prior variances tried for each group, in units of the targets' variance."""

NOISES = (0.001, 0.01, 0.03, 0.1, 0.2, 0.4)
"""Noise variances tried."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """The posterior mean of the weights, under the variances of the largest evidence.

    Args:
        weights: `(D,)`.
        offset: Added to `features @ weights`.
        variances: `(G,)` chosen.
        noise: Chosen noise variance.
    """

    weights: Floats
    offset: float
    variances: tuple[float, ...]
    noise: float


def regress(groups: list[Floats], targets: Floats) -> Posterior:
    """Fit targets `(A,)` to groups of features `(A, D_g)`.

    Each group is centred and scaled to a mean squared row norm of 1, so that its variance is the variance it gives
    to a score.
    """
    means = [group.mean(axis=0) for group in groups]
    centred = [group - mean for group, mean in zip(groups, means, strict=True)]
    scales = [1.0 / max(float(np.sqrt((c**2).sum(axis=1).mean())), 1e-9) for c in centred]
    features = np.concatenate([c * s for c, s in zip(centred, scales, strict=True)], axis=1)
    sizes = [group.shape[1] for group in groups]
    goal = targets - targets.mean()
    gram, right = features.T @ features, features.T @ goal
    variances, noise = _best_variances(gram, right, goal, sizes)
    roots = np.sqrt(np.repeat(variances, sizes))
    inner = roots[:, None] * gram * roots + noise * np.eye(len(roots))
    weights = roots * scipy.linalg.solve(inner, roots * right, assume_a="pos")
    weights = weights * np.repeat(scales, sizes)
    offset = float(targets.mean() - np.concatenate(means) @ weights)
    return Posterior(weights=weights, offset=offset, variances=variances, noise=noise)


def log_evidence(gram: Floats, right: Floats, targets: Floats, variances: Floats, noise: float) -> float:
    """Return the log marginal likelihood, up to a constant, from `D x D` quantities only.

    With `B = S X^T X S + s I`, `S` the prior standard deviations: `-(y^T y - b^T B^-1 b) / 2s - (log det B +
    (A - D) log s) / 2`, where `b = S X^T y`.
    """
    roots = np.sqrt(variances)
    inner = roots[:, None] * gram * roots + noise * np.eye(len(roots))
    factor = scipy.linalg.cholesky(inner, lower=True)
    half = scipy.linalg.solve_triangular(factor, roots * right, lower=True)
    fit = (float(targets @ targets) - float(half @ half)) / noise
    volume = 2.0 * float(np.log(np.diag(factor)).sum()) + (len(targets) - len(roots)) * float(np.log(noise))
    return -0.5 * (fit + volume)


def _best_variances(gram: Floats, right: Floats, targets: Floats, sizes: list[int]) -> tuple[tuple[float, ...], float]:
    """Climb the evidence one variance at a time over the grids, until a round changes nothing."""
    grids = [*([VARIANCES] * len(sizes)), NOISES]
    chosen = [1.0] * len(sizes) + [NOISES[3]]

    def evidence(values: list[float]) -> float:
        return log_evidence(gram, right, targets, np.repeat(values[:-1], sizes), values[-1])

    before: list[float] = []
    while chosen != before:
        before = list(chosen)
        for k, grid in enumerate(grids):
            trials = [[*chosen[:k], value, *chosen[k + 1 :]] for value in grid]
            chosen = max(trials, key=evidence)
    return tuple(chosen[:-1]), chosen[-1]
