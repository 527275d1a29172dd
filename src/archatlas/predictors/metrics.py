"""How well one order agrees with another.

Scores are higher better throughout. Kendall's tau is tau-b, Spearman's rho uses mean ranks, so ties count half in
either; a constant order agrees with nothing and has 0. Wherever the best few are taken, ties keep the order of the
rows.

Legend: `A` architectures.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import kendalltau, rankdata

from archatlas.records import Floats


def kendall_tau(predicted: Floats, truth: Floats) -> float:
    """Return Kendall's tau-b of two scores `(A,)`; 0 where either is constant."""
    value = float(kendalltau(predicted, truth).statistic)
    return 0.0 if math.isnan(value) else value


def pearson(predicted: Floats, truth: Floats) -> float:
    """Return the linear correlation of two scores `(A,)`; 0 where either is constant."""
    if np.ptp(predicted) == 0 or np.ptp(truth) == 0:
        return 0.0
    return float(np.corrcoef(predicted, truth)[0, 1])


def spearman_rho(predicted: Floats, truth: Floats) -> float:
    """Return Spearman's rho of two scores `(A,)`; 0 where either is constant."""
    return pearson(rankdata(predicted), rankdata(truth))


def best(scores: Floats, count: int) -> np.ndarray:
    """Return the rows of the `count` best of scores `(A,)`, best first; ties keep the order of the rows."""
    return np.argsort(-scores, kind="stable")[:count]


def tau_in_top(predicted: Floats, truth: Floats, fraction: float) -> float:
    """Return Kendall's tau inside the truly best `fraction` (at least two): the part that matters."""
    rows = best(truth, max(2, int(len(truth) * fraction)))
    return kendall_tau(predicted[rows], truth[rows])


def top_overlap(predicted: Floats, truth: Floats, fraction: float) -> float:
    """Return the share of the truly best `fraction` (at least one) that the prediction also has among its best."""
    count = max(1, int(len(truth) * fraction))
    return len(np.intersect1d(best(predicted, count), best(truth, count))) / count


def mean_of_best(predicted: Floats, truth: Floats, count: int) -> float:
    """Return the mean true score of the `count` architectures that are predicted best."""
    return float(truth[best(predicted, count)].mean())


def mape(predicted: Floats, truth: Floats) -> float:
    """Return the mean absolute percentage error of positive quantities `(A,)`, in percent."""
    return float(np.mean(np.abs(predicted - truth) / truth) * 100.0)
