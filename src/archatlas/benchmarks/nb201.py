"""`archatlas bench nb201`: the public table of several super-networks of NAS-Bench-201."""

from __future__ import annotations

from pathlib import Path

from archatlas.benchmarks.rows import RowFile
from archatlas.benchmarks.supernet_rows import Plan, plain_rows, supernet_rows
from archatlas.benchmarks.tables import NB201_ONE_SHOT, one_shot_task
from archatlas.records import Monitor


def bench_nb201(tables: Path, file: RowFile, plan: Plan, *, supernets: int | None, monitor: Monitor) -> None:
    """Compare raw scores, fits and calibrated fits with the table's stand-alone accuracies.

    Args:
        tables: Folder of the public tables.
        file: Receives the rows.
        plan: What is fitted.
        supernets: At most so many super-networks; None: all.
        monitor: Told of every fit.

    Raises:
        DataError: If the table is missing or damaged.
    """
    task = one_shot_task(tables / NB201_ONE_SHOT, name="nb201_one_shot")
    plain_rows(task, file)
    assert task.one_shot is not None
    for number in range(len(task.one_shot))[:supernets]:
        supernet_rows(task, file, plan, supernet=number, origin={}, monitor=monitor)
