"""One row of a benchmark: how well one order ranks the truth."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass

from archatlas.predictors.metrics import kendall_tau, mape, mean_of_best, tau_in_top
from archatlas.records import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRow:
    """How well one order ranks the truth. Higher is better; ties keep the order of the table.

    Args:
        task: Name of the task.
        predictor: What ordered: a predictor's flexible score, `NAME/two_stage`, or a score without a fit.
        n: Samples fitted to; 0 where nothing is fitted.
        seed: Of samples and fit.
        supernet: Number of the super-network, -1 where there is none.
        tau: Kendall's tau-b with the truth.
        tau_top_half: The same inside the truly best half.
        tau_top10: The same inside the truly best tenth.
        true_best: Truth of the one ranked first.
        true_top10_mean: Mean truth of the ten ranked first.
        true_top100_mean: Mean truth of the hundred ranked first.
        fit_s: Seconds of the fit.
        peak_mib: Largest memory of the process so far.
        mape: Mean absolute percentage error, of costs only.
    """

    task: str
    predictor: str
    n: int
    seed: int
    supernet: int
    tau: float
    tau_top_half: float
    tau_top10: float
    true_best: float
    true_top10_mean: float
    true_top100_mean: float
    fit_s: float
    peak_mib: float
    mape: float | None = None


def score_row(
    task: str,
    predictor: str,
    predicted: Floats,
    truth: Floats,
    *,
    n: int,
    seed: int,
    supernet: int = -1,
    fit_s: float = 0.0,
    is_cost: bool = False,
) -> BenchRow:
    """Compare predictions `(A,)` with the truth `(A,)`; of costs the smallest is the best."""
    sign = -1.0 if is_cost else 1.0
    order, goal = sign * predicted, sign * truth
    return BenchRow(
        task=task,
        predictor=predictor,
        n=n,
        seed=seed,
        supernet=supernet,
        tau=kendall_tau(order, goal),
        tau_top_half=tau_in_top(order, goal, 0.5),
        tau_top10=tau_in_top(order, goal, 0.1),
        true_best=sign * mean_of_best(order, goal, 1),
        true_top10_mean=sign * mean_of_best(order, goal, 10),
        true_top100_mean=sign * mean_of_best(order, goal, 100),
        fit_s=fit_s,
        peak_mib=_peak_mib(),
        mape=mape(predicted, truth) if is_cost else None,
    )


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
