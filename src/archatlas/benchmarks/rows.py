"""One row of a benchmark: how well one order ranks the truth; and the file that a benchmark is continued from."""

from __future__ import annotations

import dataclasses
import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archatlas.errors import ArtifactMismatchError
from archatlas.files import read_json, write_json
from archatlas.predictors.metrics import best, kendall_tau, mape, mean_of_best, pearson, spearman_rho
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
        supernet_seed: Seed of its training, None where the table does not tell.
        sampler: Of its training, None where the table does not tell.
        trainings: Stand-alone labels used.
        networks: Networks compared.
        tau: Kendall's tau-b with the truth.
        tau_top_half: The same inside the truly best half.
        tau_top10: The same inside the truly best tenth.
        rho: Spearman's rho; also inside the best half and tenth.
        rho_top_half: See `rho`.
        rho_top10: See `rho`.
        r: Pearson's r; also inside the best half and tenth.
        r_top_half: See `r`.
        r_top10: See `r`.
        true_best: Truth of the one ranked first.
        true_rank: Place of the one ranked first in the order of the truth; 1 is the best.
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
    true_rank: int
    true_top10_mean: float
    true_top100_mean: float
    fit_s: float
    peak_mib: float
    networks: int
    rho: float
    rho_top_half: float
    rho_top10: float
    r: float
    r_top_half: float
    r_top10: float
    supernet_seed: int | None = None
    sampler: str | None = None
    trainings: int = 0
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
    supernet_seed: int | None = None,
    sampler: str | None = None,
    trainings: int = 0,
    fit_s: float = 0.0,
    is_cost: bool = False,
) -> BenchRow:
    """Compare predictions `(A,)` with the truth `(A,)`; of costs the smallest is the best."""
    sign = -1.0 if is_cost else 1.0
    order, goal = sign * predicted, sign * truth
    first = goal[best(order, 1)[0]]
    bands = {"": 1.0, "_top_half": 0.5, "_top10": 0.1}
    measures: dict[str, Callable[[Floats, Floats], float]] = {"tau": kendall_tau, "rho": spearman_rho, "r": pearson}
    agreement: dict[str, Any] = {}
    for suffix, share in bands.items():
        rows = best(goal, max(2, int(len(goal) * share))) if share < 1 else np.arange(len(goal))
        agreement |= {name + suffix: measure(order[rows], goal[rows]) for name, measure in measures.items()}
    return BenchRow(
        task=task,
        predictor=predictor,
        n=n,
        seed=seed,
        supernet=supernet,
        supernet_seed=supernet_seed,
        sampler=sampler,
        trainings=trainings,
        networks=len(goal),
        **agreement,
        true_best=sign * float(first),
        true_rank=1 + int((goal > first).sum()),
        true_top10_mean=sign * mean_of_best(order, goal, 10),
        true_top100_mean=sign * mean_of_best(order, goal, 100),
        fit_s=fit_s,
        peak_mib=_peak_mib(),
        mape=mape(predicted, truth) if is_cost else None,
    )


class RowFile:
    """The JSON file of a benchmark: a list of rows, each with the `unit` that made it. A unit is not made twice.

    Args:
        path: Written after every unit; what it holds already is kept.

    Raises:
        ArtifactMismatchError: If the file is no such list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: list[dict[str, Any]] = read_json(path) if path.exists() else []
        if not isinstance(self._held, list) or not all(isinstance(row, dict) and "unit" in row for row in self._held):
            raise ArtifactMismatchError(f"{path} holds no rows of this benchmark; name another file with --json.")
        self.rows: list[dict[str, Any]] = []
        """The rows of this session's units, from the file or fresh."""

    def unit(self, name: str, make: Callable[[], Iterable[Any]]) -> list[dict[str, Any]]:
        """Return the rows of a unit of work as dictionaries: from the file, or made and written.

        Args:
            name: Names all that the rows are made from.
            make: Returns the rows as records.
        """
        rows = [row for row in self._held if row["unit"] == name]
        if not rows:
            rows = [dataclasses.asdict(row) | {"unit": name} for row in make()]
            self._held += rows
            write_json(self.path, self._held)
        self.rows += rows
        return rows


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
