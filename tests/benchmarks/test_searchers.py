"""Searchers on a small table of chains: every one trains distinct networks, and those that learn beat chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archatlas.benchmarks.rows import RowFile
from archatlas.benchmarks.search import bench_search
from archatlas.benchmarks.searchers import SEARCHERS, by_predictor, calibrated
from archatlas.benchmarks.segment_rows import bench_segments
from archatlas.benchmarks.tables import Task, one_shot_task
from archatlas.predictors.baselines import Ridge
from archatlas.records import silent

NETWORKS = np.indices((3,) * 6, dtype=np.uint8).reshape(6, -1).T


@pytest.fixture
def task(tmp_path: Path) -> Task:
    truth = NETWORKS @ np.array([1.0, 2.0, 1.0, 3.0, 1.0, 0.5])
    one_shot = truth - 4.0 * NETWORKS[:, 3]
    columns = np.concatenate([NETWORKS, NETWORKS[:, :1]], axis=1)  # seven nodes: a chain of which nothing is known
    np.savez(tmp_path / "t.npz", arch=columns, ground_truth=truth, one_shot=one_shot, supernet=["a"])
    return one_shot_task(tmp_path / "t.npz")


@pytest.mark.parametrize("name", ["random", "tpe", "ridge", "ours"])
def test_searchers(task: Task, name: str) -> None:
    if name == "tpe":
        pytest.importorskip("optuna")
    own = {"ridge": by_predictor(Ridge()), "ours": calibrated(0, samples=60)}
    searcher = own.get(name) or SEARCHERS[name]
    small = Task(
        name="t",
        graph=task.graph.prefix(6),
        architectures=NETWORKS,
        truth=task.truth,
        one_shot=task.one_shot,
        sizes=(60,),
    )
    rows = searcher(small, 30, 0)
    assert len(np.unique(rows)) == len(rows) == 30
    np.testing.assert_array_equal(rows, searcher(small, 30, 0))
    if name in own:
        assert task.truth[rows].max() == task.truth.max()


def test_evolution_climbs(task: Task) -> None:
    small = Task(
        name="t", graph=task.graph.prefix(6), architectures=NETWORKS, truth=task.truth, one_shot=None, sizes=(60,)
    )
    rows = SEARCHERS["evolution"](small, 100, 0)
    assert len(np.unique(rows)) == 100
    assert task.truth[rows[80:]].mean() > task.truth[rows[:20]].mean() + 1.0


def test_rows_of_searchers_and_segments(task: Task, tmp_path: Path) -> None:
    small = Task(
        name="t",
        graph=task.graph.prefix(6),
        architectures=NETWORKS,
        truth=task.truth,
        one_shot=task.one_shot,
        sizes=(60,),
    )
    file = RowFile(tmp_path / "rows.json")
    options = {"trainings": (5, 12), "seeds": 2, "searchers": ["random"], "samples": 60, "monitor": silent}
    bench_search([small], file, **options)
    assert [(row["predictor"], row["trainings"], row["n"]) for row in file.rows[:2]] == [
        ("ours", 5, 60),
        ("ours", 12, 60),
    ]
    order = SEARCHERS["random"](small, 12, 1)
    assert file.rows[-1]["true_best"] == task.truth[order].max()
    assert file.rows[-1]["true_rank"] == 1 + (task.truth > task.truth[order].max()).sum()
    bench_segments(small, (3, 3), file, evaluations=60, seeds=1, names=["raw", "whole", "segments/keep=3/randomx2"])
    raw, whole, segments = file.rows[-3:]
    assert raw["n"] == 60
    assert whole["n"] >= 60
    assert 60 <= segments["n"] <= 90
    assert whole["true_top10_mean"] > task.truth.mean()
