"""`archatlas bench search`: what is found per stand-alone training, and per one-shot evaluation.

On the tables every training has a known outcome: the mean accuracy of the table's runs. A searcher's result after `N`
trainings is the best of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from archatlas.benchmarks.rows import RowFile
from archatlas.benchmarks.searchers import SEARCHERS, Searcher, calibrated
from archatlas.benchmarks.supernet_rows import digest
from archatlas.benchmarks.tables import Task
from archatlas.records import Monitor

OURS = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRow:
    """What a searcher has found.

    Args:
        task: Name of the table.
        predictor: The searcher.
        n: One-shot scores that it was given; 0 without a super-network.
        seed: Of the searcher.
        supernet: Number of the super-network, -1 where there is none.
        supernet_seed: Seed of its training, None where the table does not tell.
        sampler: Of its training, None where the table does not tell.
        trainings: Networks trained stand-alone.
        true_best: True score of the best of them.
        true_rank: Its place in the order of the truth; 1 is the best.
    """

    task: str
    predictor: str
    n: int
    seed: int
    supernet: int
    supernet_seed: int | None
    sampler: str | None
    trainings: int
    true_best: float
    true_rank: int


def bench_search(
    tasks: Sequence[Task],
    file: RowFile,
    *,
    trainings: Sequence[int],
    seeds: int,
    searchers: Sequence[str],
    samples: int,
    monitor: Monitor,
) -> None:
    """Run every searcher on every table of one-shot scores, a unit of work each.

    Args:
        tasks: Tables with one-shot scores and a truth.
        file: Receives the rows.
        trainings: Numbers of trainings to report, ascending.
        seeds: Runs of each searcher.
        searchers: Names of `SEARCHERS`; ours is always run, with the super-networks of the table in turn.
        samples: One-shot scores that ours is given.
        monitor: Told of every run.
    """
    runs = [(task, name, seed) for task in tasks for name in (OURS, *searchers) for seed in range(seeds)]
    for done, (task, name, seed) in enumerate(runs, start=1):
        assert task.one_shot is not None
        supernet = seed % len(task.one_shot) if name == OURS else -1
        searcher = calibrated(supernet, samples=samples) if name == OURS else SEARCHERS[name]
        given = (supernet, samples) if name == OURS else (-1, 0)
        scores = [task.one_shot[supernet]] if name == OURS else []
        unit = f"{digest(task.architectures, task.truth, *scores)} search {name} {seed} {tuple(trainings)} {given}"
        file.unit(unit, partial(_rows, task, name, seed, searcher, trainings, given))
        monitor(done, len(runs))


def _rows(
    task: Task, name: str, seed: int, searcher: Searcher, trainings: Sequence[int], given: tuple[int, int]
) -> list[SearchRow]:
    """Return the rows of one run; `given` is the number of the super-network and of its scores."""
    order = searcher(task, trainings[-1], seed)
    found = [float(task.truth[order[:count]].max()) for count in trainings]
    return [
        SearchRow(
            task=task.name,
            predictor=name,
            n=given[1],
            seed=seed,
            supernet=given[0],
            supernet_seed=None,
            sampler=None,
            trainings=count,
            true_best=best,
            true_rank=1 + int(np.sum(task.truth > best)),
        )
        for count, best in zip(trainings, found, strict=True)
    ]
