from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archatlas.costs.macs import count_costs
from archatlas.errors import DataError
from archatlas.predictors.baselines import Ridge
from archatlas.predictors.metrics import kendall_tau, spearman_rho, tau_in_top, top_overlap
from archatlas.predictors.report import fit_report
from archatlas.predictors.table import read_scores
from archatlas.predictors.targets import normal_scores
from archatlas.spaces import chain_graph
from archatlas.spaces.digits import digits


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_reads_rows_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "note,architecture,score", "a,012012,0.5", "b,0-0-0-0-0-1,0.75")
    architectures, scores = read_scores(path, digits().validate)
    assert architectures.tolist() == [[0, 1, 2, 0, 1, 2], [0, 0, 0, 0, 0, 1]]
    assert scores.tolist() == [0.5, 0.75]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["architecture,accuracy", "012012,1"], "line 1: expected a header .* score is missing"),
        (["architecture,score", "012012,1", "012013,2"], "line 3: Block 5"),
        (["architecture,score", "012012,1", "01201,2"], "line 3: .*6 blocks"),
        (["architecture,score", "012012,1", "x,2"], "line 3: Expected an architecture"),
        (["architecture,score", "012012,1", "012011,nan"], "line 3: expected a finite score, got 'nan'"),
        (["architecture,score", "012012,1", "012011,"], "line 3: expected a finite score"),
        (
            ["architecture,score", "012012,1", "012011,2", "0-1-2-0-1-2,3"],
            "line 4: 012012 was already scored in line 2",
        ),
        (["architecture,score", "012012,1", "012011,1"], "all 2 scores equal 1"),
        (["architecture,score", "012012,1"], "at least two"),
    ],
)
def test_bad_tables_are_named(lines: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_scores(write(tmp_path / "t.csv", *lines), digits().validate)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected a CSV table"):
        read_scores(tmp_path / "none.csv", digits().validate)


def test_normal_scores_share_ties() -> None:
    values = normal_scores([3.0, 1.0, 1.0, 9.0])
    assert values[1] == values[2]
    assert values.argmax() == 3
    np.testing.assert_allclose(normal_scores([1, 2, 3, 4]), -normal_scores([4, 3, 2, 1]))


def test_metrics_by_hand() -> None:
    truth, order = np.array([4.0, 3.0, 2.0, 1.0]), np.array([3.0, 4.0, 2.0, 1.0])
    assert kendall_tau(order, truth) == pytest.approx(4 / 6)
    assert spearman_rho(order, truth) == pytest.approx(0.8)
    assert tau_in_top(order, truth, 0.5) == -1.0
    assert top_overlap(order, truth, 0.5) == 1.0
    assert top_overlap(order, truth, 0.25) == 0.0
    assert kendall_tau(np.ones(4), truth) == 0.0
    assert spearman_rho(np.ones(4), truth) == 0.0


def test_report_never_fits_held_out_rows() -> None:
    space = digits()
    graph = chain_graph(space, count_costs(space))
    rng = np.random.default_rng(0)
    architectures = np.repeat(space.sample(40, rng), 2, axis=0)
    report = fit_report([Ridge()], graph, architectures, rng.normal(size=80), seed=0)
    distinct = len(np.unique(architectures, axis=0))
    assert report.num_fitted + report.num_held_out == 80
    assert report.num_held_out >= 2 * round(0.2 * distinct)
    assert [row.name for row in report.rows] == ["ridge", "ridge (rank)", "macs", "params", "depth"]
    assert abs(report.rows[0].tau) < 0.6  # noise cannot be predicted from other rows
    assert "not agreement with the truth" in report.caution
