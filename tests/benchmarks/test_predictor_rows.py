from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from archatlas.benchmarks import bench_predictors, find_tasks, one_shot_task
from archatlas.benchmarks.rows import score_row
from archatlas.errors import DataError
from archatlas.predictors.baselines import Ridge
from archatlas.predictors.order import OrderConfig

TABLES = Path(os.environ.get("ARCHATLAS_TABLES", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    cells = np.indices((5,) * 6, dtype=np.uint8).reshape(6, -1).T[::40]
    truth = (cells == 3).sum(axis=1) + 0.5 * (cells == 2).sum(axis=1) + 80.0
    noise = np.random.default_rng(0).normal(size=(2, len(cells)))
    np.savez(tmp_path / "mine.npz", arch=cells, ground_truth=truth, one_shot=truth + 3.0 * noise, supernet=["a", "b"])
    return tmp_path / "mine.npz"


def test_a_users_table_gives_all_rows(table: Path) -> None:
    task = one_shot_task(table)
    rows = list(bench_predictors(task, [Ridge()], seeds=1, sizes=[100], supernets=2, order=OrderConfig()))
    names = {row.predictor for row in rows}
    assert names >= {"macs", "params", "depth", "raw", "raw+capacity", "raw/two_stage", "ridge", "ridge/two_stage"}
    assert {row.task for row in rows} == {"one_shot/mine"}
    by_name = {row.predictor: row.tau for row in rows if row.supernet == 0}
    assert by_name["ridge"] > by_name["raw"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"one_shot": np.zeros((2, 3))}, "expected arch"),
        ({"ground_truth": np.full(391, np.nan)}, "finite"),
    ],
)
def test_bad_tables(table: Path, change: dict[str, np.ndarray], message: str) -> None:
    with np.load(table) as data:
        arrays = dict(data) | change
    np.savez(table, **arrays)
    with pytest.raises(DataError, match=message):
        one_shot_task(table)


def test_missing_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected at least one of"):
        find_tasks(tmp_path)
    with pytest.raises(DataError, match="Expected an npz"):
        one_shot_task(tmp_path / "none.npz")


def test_rows_of_costs_prefer_the_smallest() -> None:
    truth = np.array([3.0, 1.0, 2.0, 4.0])
    row = score_row("t", "p", truth, truth, n=0, seed=0, is_cost=True)
    assert (row.tau, row.true_best, row.mape) == (1.0, 1.0, 0.0)


@pytest.mark.tables
@pytest.mark.skipif(not (TABLES / "nas_bench_macro_cifar10.json").is_file(), reason=f"no public tables in {TABLES}")
def test_macro_truth() -> None:
    task = find_tasks(TABLES)[0]
    assert (task.name, len(task.truth)) == ("macro_true", 3969)
    assert task.truth.max() == pytest.approx(93.13, abs=0.005)
    rows = list(bench_predictors(task, [Ridge()], seeds=1, sizes=[100], supernets=1, order=OrderConfig()))
    taus = {row.predictor: row.tau for row in rows}
    assert taus["macs"] == pytest.approx(0.55, abs=0.01)
    assert taus["depth"] == pytest.approx(0.68, abs=0.01)
    assert taus["ridge"] > 0.8
