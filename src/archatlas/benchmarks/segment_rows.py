"""Segment search, whole search and raw scores at equal numbers of one-shot evaluations, part of `bench search`.

A table of one-shot scores stands in for the super-network, so nothing is trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from archatlas.benchmarks.rows import RowFile
from archatlas.benchmarks.supernet_rows import digest
from archatlas.benchmarks.tables import Task
from archatlas.predictors.metrics import best
from archatlas.predictors.window_gp import WindowGP
from archatlas.records import Architectures, Evaluation, as_array
from archatlas.search import Problem, SamplingConfig, SearchConfig, search

SHORTLIST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """What one search found.

    Args:
        task: Name of the table.
        predictor: `raw`, `whole`, or `segments/keep=K/COMPLETION`.
        n: One-shot evaluations asked for, repeats included.
        seed: Of the search.
        supernet: Number of the super-network.
        supernet_seed: None: the table does not tell.
        sampler: None: the table does not tell.
        trainings: 0.
        true_best: True score of the network found.
        true_rank: Its place in the order of the truth.
        true_top10_mean: Mean true score of its ten finalists.
    """

    task: str
    predictor: str
    n: int
    seed: int
    supernet: int
    supernet_seed: int | None = None
    sampler: str | None = None
    trainings: int = 0
    true_best: float
    true_rank: int
    true_top10_mean: float


def modes() -> dict[str, SearchConfig | None]:
    """Return what is compared, by name; None is the best raw scores of random networks."""
    found: dict[str, SearchConfig | None] = {"raw": None, "whole": SearchConfig(shortlist=SHORTLIST)}
    completions: tuple[tuple[Literal["fixed", "random"], int], ...] = (
        ("fixed", 1),
        ("random", 1),
        ("random", 2),
        ("random", 4),
    )
    for keep in (1, 3, 6, 12):
        for completion, count in completions:
            found[f"segments/keep={keep}/{completion}x{count}"] = SearchConfig(
                mode="segments", keep=keep, completion=completion, completions=count, shortlist=SHORTLIST
            )
    return found


def bench_segments(
    task: Task, segments: tuple[int, ...], file: RowFile, *, evaluations: int, seeds: int, names: list[str]
) -> None:
    """Write the rows of one table.

    Args:
        task: Has one-shot scores, minus the loss.
        segments: Lengths of the segments.
        file: Receives the rows.
        evaluations: Of each search, its short-list left out.
        seeds: Runs of each search with each super-network.
        names: Keys of `modes`.
    """
    assert task.one_shot is not None
    for supernet in range(len(task.one_shot)):
        for name in names:
            made_from = digest(task.architectures, task.truth, task.one_shot[supernet])
            unit = f"{made_from} segments {segments} {name} {evaluations} {seeds}"
            file.unit(
                unit,
                partial(_rows, task, segments, supernet, name, evaluations, seeds),
            )


def _rows(
    task: Task, segments: tuple[int, ...], supernet: int, name: str, evaluations: int, seeds: int
) -> Iterator[SegmentRow]:
    for seed in range(seeds):
        found, spent = _search(task, segments, supernet, modes()[name], evaluations, seed)
        yield SegmentRow(
            task=task.name,
            predictor=name,
            n=spent,
            seed=seed,
            supernet=supernet,
            true_best=float(task.truth[found[0]]),
            true_rank=1 + int((task.truth > task.truth[found[0]]).sum()),
            true_top10_mean=float(task.truth[found[:SHORTLIST]].mean()),
        )


def _search(
    task: Task, segments: tuple[int, ...], supernet: int, config: SearchConfig | None, evaluations: int, seed: int
) -> tuple[np.ndarray, int]:
    """Return the rows of the finalists, best first, and the evaluations spent."""
    assert task.one_shot is not None
    scores = task.one_shot[supernet]
    places = {tuple(row): i for i, row in enumerate(task.architectures.tolist())}
    if config is None:
        drawn = np.random.default_rng(seed).choice(len(scores), evaluations, replace=False)
        return drawn[best(scores[drawn], SHORTLIST)], evaluations

    def rows_of(architectures: Architectures) -> list[int]:
        return [places[tuple(row)] for row in task.graph.canonical(architectures).tolist()]

    def measure(architectures: Architectures) -> list[Evaluation]:
        return [
            Evaluation(
                architecture=tuple(task.architectures[row].tolist()), loss=-float(scores[row]), accuracy=0, num_images=0
            )
            for row in rows_of(architectures)
        ]

    problem = Problem(
        graph=task.graph, measure=measure, predictor=WindowGP(), budgets=(), seed=seed, log=lambda _: None
    )
    # every segment but the last is measured once for each completion
    shares = (len(segments) - 1) * (config.completions if config.completion == "random" else 1) + 1
    count = evaluations if config.mode == "whole" else evaluations // shares
    fixed = SamplingConfig(round_size=count, floor=count, ceiling=count)
    result = search(problem, config.model_copy(update={"sampling": fixed}), segments=segments)
    finalists = as_array([candidate.architecture for candidate in result.finalists])
    return np.array(rows_of(finalists)), result.num_evaluations
