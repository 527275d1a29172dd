"""`archatlas bench predictors`: every predictor and trivial score on every task.

True labels: predictors are fitted to `n` networks, scored on all others. One-shot labels: fitted to `n` measured
scores, scored against the truth of the whole table, as the atlas is used; beside them the raw scores of all networks.

Legend: `A` architectures, `S` super-networks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from archatlas.benchmarks.rows import BenchRow, score_row
from archatlas.benchmarks.tables import Task
from archatlas.predictors import Predictor
from archatlas.predictors.baselines import Ridge, trivial_scores
from archatlas.predictors.effects import add, capacity
from archatlas.predictors.learned_cost import learn_cost
from archatlas.predictors.live import strip_dead
from archatlas.predictors.order import Order, OrderConfig, main_effects, smooth_rank, threshold_at
from archatlas.predictors.targets import normal_scores
from archatlas.records import Floats


def bench_predictors(
    task: Task, predictors: Sequence[Predictor], *, seeds: int, sizes: Sequence[int], supernets: int, order: OrderConfig
) -> Iterator[BenchRow]:
    """Yield the rows of one task.

    Args:
        task: What is predicted.
        predictors: Fitted one after the other.
        seeds: Number of draws of the samples.
        sizes: Numbers of samples.
        supernets: At most so many super-networks of the table.
        order: Priors of the rows without a predictor (`main_effects`, `raw/two_stage`).
    """
    trivial = {} if task.is_cost else trivial_scores(task.graph, task.architectures)
    for name, scores in trivial.items():
        yield score_row(task.name, name, scores, task.truth, n=0, seed=0)
    for seed in range(seeds):
        for n in sizes:
            if task.one_shot is None:
                yield from (_costs if task.is_cost else _true_labels)(task, predictors, n, seed)
                continue
            for supernet in range(min(supernets, len(task.one_shot))):
                yield from raw_rows(task, n, seed, supernet, order)
                yield from one_shot_rows(task, predictors, n, seed, supernet)


def sample(task: Task, n: int, seed: int) -> np.ndarray:
    """Draw `n` rows of a task without repeats."""
    return np.random.default_rng(seed).choice(len(task.truth), n, replace=False)


def _true_labels(task: Task, predictors: Sequence[Predictor], n: int, seed: int) -> Iterator[BenchRow]:
    rows = sample(task, n, seed)
    rest = np.setdiff1d(np.arange(len(task.truth)), rows)
    for predictor in predictors:
        started = time.perf_counter()
        fitted = predictor.fit(task.graph, task.architectures[rows], task.truth[rows], seed=seed)
        seconds = time.perf_counter() - started
        predicted = fitted.predict(task.architectures[rest]).mean
        yield score_row(task.name, predictor.name, predicted, task.truth[rest], n=n, seed=seed, fit_s=seconds)


def one_shot_rows(task: Task, predictors: Sequence[Predictor], n: int, seed: int, supernet: int) -> Iterator[BenchRow]:
    """Yield the flexible score and the order of each predictor fitted to `n` scores of a super-network."""
    assert task.one_shot is not None
    rows, scores = sample(task, n, seed), task.one_shot[supernet]
    for predictor in predictors:
        started = time.perf_counter()
        fitted = predictor.fit(task.graph, task.architectures[rows], scores[rows], seed=seed)
        seconds = time.perf_counter() - started
        orders = {
            predictor.name: fitted.predict(task.architectures).mean,
            f"{predictor.name}/two_stage": fitted.rank(task.architectures),
        }
        for name, order in orders.items():
            yield score_row(task.name, name, order, task.truth, n=n, seed=seed, supernet=supernet, fit_s=seconds)


def raw_rows(task: Task, n: int, seed: int, supernet: int, config: OrderConfig) -> Iterator[BenchRow]:
    """Yield the rows of the raw scores of all networks, and of the raw score as the screen of a fit."""
    assert task.one_shot is not None
    started = time.perf_counter()
    rows, raw = sample(task, n, seed), normal_scores(task.one_shot[supernet])
    alive = strip_dead(task.graph, task.architectures)
    targets = normal_scores(task.one_shot[supernet][rows])
    effects = main_effects(task.graph, alive[rows], targets, config)
    bonus = add((config.screen_capacity, capacity(task.graph)))
    order = Order(
        bonus=bonus,
        rank=smooth_rank(task.graph, alive[rows], targets, config),
        threshold=threshold_at(raw + bonus(alive), config.keep),
    )
    seconds = time.perf_counter() - started
    orders: dict[str, tuple[int, Floats]] = {
        "raw": (0, raw),
        "raw+capacity": (0, raw + bonus(alive)),
        "main_effects": (n, effects(alive)),
        "main_effects+capacity": (n, effects(alive) + bonus(alive)),
        "raw/two_stage": (n, order(raw, alive)),
    }
    for name, (fitted, scores) in orders.items():
        yield score_row(
            task.name,
            name,
            scores,
            task.truth,
            n=fitted,
            seed=seed,
            supernet=supernet,
            fit_s=seconds if fitted else 0.0,
        )


def _costs(task: Task, predictors: Sequence[Predictor], n: int, seed: int) -> Iterator[BenchRow]:
    """Yield the learnt cost and an additive ridge; predictors of scores do not predict milliseconds."""
    del predictors
    rows = sample(task, n, seed)
    rest = np.setdiff1d(np.arange(len(task.truth)), rows)
    samples, values = task.architectures[rows], task.truth[rows]
    for name in ("learnt_cost", "ridge"):
        started = time.perf_counter()
        terms = (
            learn_cost(task.graph, samples, values, seed=seed)
            if name == "learnt_cost"
            else Ridge.fit_values(task.graph, samples, values)
        )
        seconds = time.perf_counter() - started
        predicted = terms(task.architectures[rest])
        truth = task.truth[rest]
        yield score_row(task.name, name, predicted, truth, n=n, seed=seed, fit_s=seconds, is_cost=True)
