from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archatlas.benchmarks.rows import RowFile
from archatlas.benchmarks.supernet_rows import Plan, supernet_rows
from archatlas.benchmarks.tables import Task, one_shot_task
from archatlas.predictors.baselines import Ridge
from archatlas.predictors.window_gp import WindowGP
from archatlas.records import silent


@pytest.fixture
def task(tmp_path: Path) -> Task:
    cells = np.indices((5,) * 6, dtype=np.uint8).reshape(6, -1).T[::60]
    truth = (cells == 3).sum(axis=1) + 0.5 * (cells == 2).sum(axis=1) + 0.1 * cells[:, 0]
    noise = np.random.default_rng(0).normal(size=(1, len(cells)))
    np.savez(tmp_path / "mine.npz", arch=cells, ground_truth=truth, one_shot=truth + 3.0 * noise, supernet=["a"])
    return one_shot_task(tmp_path / "mine.npz")


def test_rows_of_a_super_network(task: Task, tmp_path: Path) -> None:
    plan = Plan(predictors=(Ridge(),), calibrated=WindowGP(), sizes=(60,), seeds=1, trainings=(5, 20))
    for _ in range(2):
        file = RowFile(tmp_path / "rows.json")
        supernet_rows(task, file, plan, supernet=0, origin={"sampler": "mine", "supernet_seed": 4}, monitor=silent)
    assert {(row["sampler"], row["supernet_seed"]) for row in file.rows} == {("mine", 4)}
    tau = {(row["predictor"], row["trainings"]): row["tau"] for row in file.rows}
    assert set(tau) >= {("raw", 0), ("ridge/two_stage", 0), ("calibrated", 5), ("calibrated/random_labels", 20)}
    assert tau["calibrated", 20] > tau["raw", 0]
    assert len(RowFile(tmp_path / "rows.json")._held) == len(file.rows)
