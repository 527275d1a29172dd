from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archatlas.benchmarks.rows import RowFile, score_row
from archatlas.errors import ArtifactMismatchError


def test_measures_of_a_row() -> None:
    truth = np.arange(20.0)
    predicted = truth.copy()
    predicted[[18, 19]] = [40.0, 30.0]
    row = score_row("t", "p", predicted, truth, n=5, seed=1, trainings=7)
    assert (row.true_rank, row.true_best, row.networks, row.trainings) == (2, 18.0, 20, 7)
    assert row.tau == pytest.approx(1 - 2 / 190)
    assert row.tau_top10 == -1.0
    assert row.rho == pytest.approx(1 - 6 * 2 / (20 * 399))
    assert row.r == pytest.approx(np.corrcoef(predicted, truth)[0, 1])


def test_a_unit_is_made_once(tmp_path: Path) -> None:
    made: list[str] = []

    def make(name: str) -> list[object]:
        made.append(name)
        return [score_row("t", name, np.arange(4.0), np.arange(4.0), n=0, seed=0)]

    for _ in range(2):
        file = RowFile(tmp_path / "rows.json")
        for name in ("a", "b"):
            (row,) = file.unit(name, lambda name=name: make(name))
            assert (row["predictor"], row["unit"], row["tau"]) == (name, name, 1.0)
    assert made == ["a", "b"]
    assert [row["unit"] for row in file.rows] == ["a", "b"]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"tau": 1}]')
    with pytest.raises(ArtifactMismatchError, match="no rows of this benchmark"):
        RowFile(tmp_path / "rows.json")
