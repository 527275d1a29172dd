"""Public tables with a known truth, as tasks. They are read from a folder that the user names, never shipped.

Legend: `A` architectures, `L` nodes, `S` super-networks.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archatlas.costs.macs import count, count_costs
from archatlas.errors import DataError
from archatlas.records import Architectures, CostTable, Floats, as_array, format_architecture, parse_architecture
from archatlas.spaces import SpaceGraph, chain_graph
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.spaces.nasbench201 import CELL_EDGES, CELL_OPERATORS, CELL_SHAPES, CELLS_PER_STAGE, cell_graph

MACRO = "nas_bench_macro_cifar10.json"
MACRO_ONE_SHOT = "macro_cifar10_one_shot.npz"
NB201_ONE_SHOT = "nb201_cifar10_one_shot.npz"
FBNET = "help_fbnet_latency.npz"
FBNET_STAGES = (0, *[1] * 4, *[2] * 4, *[3] * 4, *[4] * 4, *[5] * 4, 6)
FBNET_DEVICES = ("pixel3", "gold_6226", "1080ti_1", "silver_4114", "pixel2", "titan_rtx_64", "samsung_a50")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """Something to predict whose truth is known.

    Args:
        name: Shown in every row.
        graph: The space.
        architectures: `(A, L)`, distinct.
        truth: `(A,)`; higher is better unless `is_cost`.
        one_shot: `(S, A)` measured scores, higher is better; none where predictors are fitted to the truth itself.
        sizes: Numbers of samples to fit.
        is_cost: Whether the truth is a cost (milliseconds), to be predicted in its own unit.
    """

    name: str
    graph: SpaceGraph
    architectures: Architectures
    truth: Floats
    one_shot: Floats | None
    sizes: tuple[int, ...]
    is_cost: bool = False


def find_tasks(directory: Path) -> list[Task]:
    """Return the tasks of all tables that the folder holds.

    Raises:
        DataError: If it holds none, or a table is damaged.
    """
    tasks = []
    if (directory / MACRO).is_file():
        tasks.append(macro_true(directory / MACRO))
        if (directory / MACRO_ONE_SHOT).is_file():
            tasks.append(macro_one_shot(directory / MACRO_ONE_SHOT, tasks[0]))
    if (directory / NB201_ONE_SHOT).is_file():
        tasks.append(one_shot_task(directory / NB201_ONE_SHOT, name="nb201_one_shot"))
    if (directory / FBNET).is_file():
        tasks.extend(fbnet_latency(directory / FBNET))
    if not tasks:
        known = ", ".join((MACRO, MACRO_ONE_SHOT, NB201_ONE_SHOT, FBNET))
        raise DataError(f"Expected at least one of {known} in {directory}. Name the folder of the tables.")
    return tasks


def macro_true(path: Path) -> Task:
    """Return NAS-Bench-Macro: stand-alone CIFAR-10 accuracy in percent of its distinct networks, mean of three runs."""
    space = nas_bench_macro()
    try:
        entries = json.loads(path.read_text())
        architectures = as_array([parse_architecture(key) for key in entries])
        truth = np.array([float(entry["mean_acc"]) for entry in entries.values()])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"Expected the table of NAS-Bench-Macro in {path}: {error}") from error
    distinct = space.is_canonical(architectures)
    return Task(
        name="macro_true",
        graph=chain_graph(space, count_costs(space)),
        architectures=architectures[distinct],
        truth=truth[distinct],
        one_shot=None,
        sizes=(50, 100, 200, 400),
    )


def macro_runs(path: Path, task: Task) -> Floats:
    """Return the accuracy `(3, A)`, in percent, of the three runs that the truth of `macro_true` is the mean of."""
    entries = json.loads(path.read_text())
    runs = [entries[format_architecture(tuple(row))]["test_acc"] for row in task.architectures.tolist()]
    return np.array(runs, dtype=float).T


def macro_with_one_shot(tables: Path) -> Task:
    """Return NAS-Bench-Macro with the one-shot scores of the folder.

    Raises:
        DataError: If one of the two tables is missing or damaged.
    """
    return macro_one_shot(tables / MACRO_ONE_SHOT, macro_true(tables / MACRO))


def macro_one_shot(path: Path, truth: Task) -> Task:
    """Return one-shot scores (minus the validation loss) of the networks of `macro_true`."""
    data = _arrays(path, "arch", "loss")
    rows = {tuple(row): i for i, row in enumerate(data["arch"].tolist())}
    try:
        order = [rows[tuple(row)] for row in truth.architectures.tolist()]
    except KeyError as error:
        raise DataError(f"{path} lacks the network {error}; expected every distinct one.") from error
    return Task(
        name="macro_one_shot",
        graph=truth.graph,
        architectures=truth.architectures,
        truth=truth.truth,
        one_shot=-np.asarray(data["loss"], dtype=float)[:, order],
        sizes=(500,),
    )


def one_shot_task(path: Path, *, name: str | None = None) -> Task:
    """Return a table of one-shot scores.

    Args:
        path: npz with `arch` (A, L), `ground_truth` (A,) and `one_shot` (S, A), both higher better, any unit. Six nodes
            of up to five operators are read as NAS-Bench-201 cells, eight of three as NAS-Bench-Macro chains,
            anything else as a chain of which nothing is known.
        name: Of the task; default `one_shot/FILE`.
    """
    data = _arrays(path, "arch", "ground_truth", "one_shot")
    architectures, truth = as_array(data["arch"]), np.asarray(data["ground_truth"], dtype=float)
    one_shot = np.atleast_2d(np.asarray(data["one_shot"], dtype=float))
    if architectures.ndim != 2 or truth.shape != (len(architectures),) or one_shot.shape[1:] != truth.shape:
        raise DataError(
            f"{path}: expected arch (A, L), ground_truth (A,), one_shot (S, A); got {architectures.shape}, "
            f"{truth.shape}, {one_shot.shape}."
        )
    if not (np.isfinite(truth).all() and np.isfinite(one_shot).all()):
        raise DataError(f"{path}: expected finite scores.")
    return Task(
        name=name or f"one_shot/{path.stem}",
        graph=_guess_graph(architectures),
        architectures=architectures,
        truth=truth,
        one_shot=one_shot,
        sizes=(min(800, len(truth) // 2),),
    )


def fbnet_latency(path: Path) -> list[Task]:
    """Return the latency of FBNet chains on each device, in milliseconds."""
    data = _arrays(path, "arch", *FBNET_DEVICES)
    return [
        Task(
            name=f"fbnet_latency/{device}",
            graph=plain_graph("fbnet", (9,) * len(FBNET_STAGES), FBNET_STAGES),
            architectures=as_array(data["arch"]),
            truth=np.asarray(data[device], dtype=float),
            one_shot=None,
            sizes=(100, 400),
            is_cost=True,
        )
        for device in FBNET_DEVICES
    ]


def plain_graph(name: str, num_choices: tuple[int, ...], stages: tuple[int, ...]) -> SpaceGraph:
    """Return the graph of a chain whose operators nothing is known of."""
    return SpaceGraph(
        name=name,
        num_choices=num_choices,
        edges=tuple((i, i + 1) for i in range(len(num_choices) - 1)),
        stages=stages,
        attribute_names=(),
        attributes=tuple(np.zeros((count, 0)) for count in num_choices),
        no_ops=tuple((False,) * count for count in num_choices),
        costs={},
    )


def cell_costs() -> dict[str, CostTable]:
    """Count MACs and parameters of each operator of a NAS-Bench-201 cell, all cells of a network together."""
    totals = np.zeros((len(CELL_OPERATORS), 2))
    with torch.device("meta"):
        for channels, resolution in CELL_SHAPES:
            for row, operator in zip(totals, CELL_OPERATORS, strict=True):
                shape = (1, channels, resolution, resolution)
                row += np.array(count(operator.build(channels, channels, 1), shape)[:2]) * CELLS_PER_STAGE
    return {
        name: CostTable(name=name, fixed=0.0, entries=(totals[:, column],) * len(CELL_EDGES))
        for column, name in enumerate(("macs", "params"))
    }


def _guess_graph(architectures: Architectures) -> SpaceGraph:
    length, largest = architectures.shape[1], int(architectures.max())
    if length == len(CELL_EDGES) and largest < len(CELL_OPERATORS):
        return cell_graph(cell_costs())
    space = nas_bench_macro()
    if length == len(space.blocks) and largest < 3:
        return chain_graph(space, count_costs(space))
    counts = tuple(int(column.max()) + 1 for column in architectures.T)
    return plain_graph("table", counts, tuple(range(length)))


def _arrays(path: Path, *names: str) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"Expected an npz with {', '.join(names)} at {path}: {error}") from error
