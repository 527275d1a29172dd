"""`archatlas bench macro`: our own super-networks of nas-bench-macro against the table of stand-alone accuracies.

Beside every order stand what no order can exceed (the agreement of two training seeds) and what costs nothing (depth,
MACs, params), and the share of each step: accuracy or loss, with or without BN recalibration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from archatlas.benchmarks.rows import BenchRow, RowFile, score_row
from archatlas.benchmarks.supernet_rows import Plan, digest, plain_rows, supernet_rows
from archatlas.benchmarks.supernets import Sampler, Scores, SupernetsConfig, score_supernet
from archatlas.benchmarks.tables import MACRO, Task, macro_runs, macro_true
from archatlas.records import Monitor


def bench_macro(
    tables: Path,
    file: RowFile,
    config: SupernetsConfig,
    plan: Plan,
    *,
    samplers: Sequence[Sampler],
    supernet_seeds: Sequence[int],
    work: Path,
    fabric: Fabric,
    monitor: Monitor,
    networks: int | None = None,
) -> None:
    """Train, score, fit and compare; every training step, score and fit that is done stays done.

    Args:
        tables: Folder of the public tables.
        file: Receives the rows.
        config: Data, training, scoring.
        plan: What is fitted.
        samplers: Of the super-networks.
        supernet_seeds: Of the super-networks, each with every sampler.
        work: Receives a folder for each super-network.
        fabric: Device and precision.
        monitor: Told of training steps, scores and fits.
        networks: Only so many networks of the table, evenly spread; None: all.

    Raises:
        DataError: If table or images are missing.
        ArtifactMismatchError: If `work` holds other super-networks.
    """
    whole = macro_true(tables / MACRO)
    runs = macro_runs(tables / MACRO, whole)
    rows = np.unique(np.linspace(0, len(whole.truth) - 1, networks or len(whole.truth)).astype(int))
    truth = dataclasses.replace(
        whole, name="macro_cifar10", architectures=whole.architectures[rows], truth=whole.truth[rows]
    )
    plain_rows(truth, file)
    ceiling = score_row(truth.name, "noise_ceiling", runs[0][rows], runs[1][rows], n=0, seed=0)
    file.unit(f"{digest(runs[:2, rows])} ceiling", lambda: [ceiling])
    number = 0
    for sampler in samplers:
        for seed in supernet_seeds:
            scores = score_supernet(
                truth.architectures, config, sampler=sampler, seed=seed, work=work, fabric=fabric, monitor=monitor
            )
            _write(truth, scores, file, plan, number, monitor)
            number += 1


def _write(truth: Task, scores: Scores, file: RowFile, plan: Plan, number: int, monitor: Monitor) -> None:
    origin = {"supernet": number, "supernet_seed": scores.supernet_seed, "sampler": scores.sampler}
    made_from = digest(truth.truth, scores.losses, scores.plain_losses)
    file.unit(f"{made_from} steps", lambda: list(_steps(truth, scores, number)))
    task = dataclasses.replace(truth, one_shot=-scores.losses[None])
    supernet_rows(task, file, plan, supernet=0, origin=origin, monitor=monitor)


def _steps(truth: Task, scores: Scores, number: int) -> Iterator[BenchRow]:
    """Yield raw accuracy and loss with BN recalibration, of all networks and of those scored without it too."""
    some, every = scores.plain_rows, np.arange(len(truth.truth))
    orders = {
        "raw_accuracy": (every, scores.accuracies),
        "raw_loss": (every, -scores.losses),
        "some/raw_accuracy": (some, scores.accuracies[some]),
        "some/raw_loss": (some, -scores.losses[some]),
        "some/raw_accuracy/no_recalibration": (some, scores.plain_accuracies),
        "some/raw_loss/no_recalibration": (some, -scores.plain_losses),
    }
    for name, (rows, order) in orders.items():
        yield score_row(
            *(truth.name, name, order, truth.truth[rows]),
            n=0,
            seed=0,
            supernet=number,
            supernet_seed=scores.supernet_seed,
            sampler=scores.sampler,
        )
