"""Rows of a table of super-networks: raw scores, every fit at several sample sizes, calibrated fits.

Shared by `archatlas bench macro` (super-networks of our own) and `archatlas bench nb201` (a public table).

Legend: `A` architectures, `S` super-networks.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from archatlas.benchmarks.predictors import one_shot_rows, raw_rows, sample
from archatlas.benchmarks.rows import BenchRow, RowFile, score_row
from archatlas.benchmarks.tables import Task
from archatlas.predictors import Predictor, WindowedPredictor
from archatlas.predictors.baselines import trivial_scores
from archatlas.predictors.calibration import calibrate
from archatlas.predictors.order import OrderConfig
from archatlas.records import Architectures, Floats, Monitor
from archatlas.search.acquisition import AcquisitionConfig, acquire


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is fitted.

    Args:
        predictors: Fitted one after the other.
        calibrated: The one whose fit is calibrated.
        sizes: Numbers of samples; the last one is what is calibrated.
        seeds: Number of draws of samples and labels.
        trainings: Numbers of stand-alone labels, ascending.
    """

    predictors: tuple[Predictor, ...]
    calibrated: Predictor
    sizes: tuple[int, ...]
    seeds: int
    trainings: tuple[int, ...]


def supernet_rows(
    task: Task, file: RowFile, plan: Plan, *, supernet: int, origin: dict[str, Any], monitor: Monitor
) -> None:
    """Write the rows of one super-network, a unit at a time.

    Args:
        task: Has one-shot scores.
        file: Receives the rows.
        plan: What is fitted.
        supernet: Number of the super-network.
        origin: Columns that tell where it comes from: `supernet_seed` and `sampler`.
        monitor: Told of every unit.
    """
    assert task.one_shot is not None
    made_from = digest(task.architectures, task.truth, task.one_shot[supernet])

    def unit(name: str, rows: Callable[[], Iterator[BenchRow]]) -> None:
        file.unit(f"{made_from} {name}", lambda: [dataclasses.replace(row, **origin) for row in rows()])

    runs = [(seed, n) for seed in range(plan.seeds) for n in plan.sizes]
    done, total = 0, len(runs) * (1 + len(plan.predictors)) + plan.seeds
    for seed, n in runs:
        unit(f"raw {n} {seed}", partial(raw_rows, task, n, seed, supernet, OrderConfig()))
        done += 1
        for predictor in plan.predictors:
            unit(f"{predictor!r} {n} {seed}", partial(one_shot_rows, task, [predictor], n, seed, supernet))
            done += 1
            monitor(done, total)
    for seed in range(plan.seeds):
        name = f"calibrated {plan.calibrated!r} {plan.sizes[-1]} {seed} {plan.trainings}"
        unit(name, partial(calibrated_rows, task, plan, seed, supernet))
        done += 1
        monitor(done, total)


def calibrated_rows(task: Task, plan: Plan, seed: int, supernet: int) -> Iterator[BenchRow]:
    """Yield the order of a fit calibrated by labels from the acquisition, and by as many random labels.

    All networks of the table are ranked, labelled ones too: that is the order that an atlas gives.
    """
    assert task.one_shot is not None
    n = plan.sizes[-1]
    rows = sample(task, n, seed)
    base = plan.calibrated.fit(task.graph, task.architectures[rows], task.one_shot[supernet][rows], seed=seed)
    assert isinstance(base, WindowedPredictor)
    chosen = acquired(task, base, plan.trainings[-1], seed)
    drawn = np.random.default_rng((seed, 1)).permutation(len(task.truth))
    for trainings in plan.trainings:
        for name, labelled in (("calibrated", chosen), ("calibrated/random_labels", drawn)):
            started = time.perf_counter()
            some = labelled[:trainings]
            fitted = calibrate(base, task.architectures[some], task.truth[some], seed=seed)
            seconds = time.perf_counter() - started
            order = fitted.rank(task.architectures)
            yield score_row(
                *(task.name, name, order, task.truth),
                n=n,
                seed=seed,
                supernet=supernet,
                trainings=trainings,
                fit_s=seconds,
            )


def acquired(task: Task, base: WindowedPredictor, trainings: int, seed: int) -> np.ndarray:
    """Return the rows of a table `(trainings,)` in the order in which the acquisition trains them."""
    place = {tuple(row): i for i, row in enumerate(task.architectures.tolist())}

    def label(architectures: Architectures) -> Floats:
        return task.truth[[place[tuple(row)] for row in architectures.tolist()]]

    networks, _ = acquire(
        base, label, lambda _: task.architectures, AcquisitionConfig(), trainings=trainings, seed=seed
    )
    return np.array([place[tuple(row)] for row in networks.tolist()])


def plain_rows(task: Task, file: RowFile) -> None:
    """Write the rows of MACs, parameters and depth."""
    trivial = trivial_scores(task.graph, task.architectures)
    file.unit(
        f"{digest(task.architectures, task.truth)} trivial",
        lambda: [score_row(task.name, name, scores, task.truth, n=0, seed=0) for name, scores in trivial.items()],
    )


def digest(*arrays: np.ndarray) -> str:
    """Return twelve hexadecimal digits of arrays."""
    joined = hashlib.sha256()
    for array in arrays:
        joined.update(np.ascontiguousarray(array).tobytes())
    return joined.hexdigest()[:12]
