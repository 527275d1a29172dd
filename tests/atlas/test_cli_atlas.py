from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import typer
from test_factored_atlas import make
from typer.testing import CliRunner

from archatlas.atlas import tabulate
from archatlas.cli import atlas as commands
from archatlas.errors import ConfigError, InfeasibleBudgetError, InvalidArchitectureError
from archatlas.records import TwoStageTerms
from archatlas.testing.atlas_oracle import random_graph, random_terms

app = typer.Typer()
commands.register(app)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    run = tmp_path_factory.mktemp("small")
    atlas, truth = make([2, 3, 1], 0, (1, 0), 0.3)
    atlas.save(run / "atlas")
    return run, truth


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    run = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    graph = random_graph((6,) * 19, rng)
    atlas = tabulate(
        graph,
        TwoStageTerms(screen=random_terms((6,) * 19, 1, rng), rank=random_terms((6,) * 19, 0, rng), threshold=3.0),
    )
    atlas.save(run / "atlas")
    return run, atlas


def call(*arguments, code=0):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if code:
        assert isinstance(result.exception, code)
        return str(result.exception)
    if result.exception:
        raise result.exception
    return result.stdout


def test_query_of_a_small_space(small):
    run, truth = small
    rows = json.loads(call("query", run, "macs <= 6 or latency_ms > 9", "--top", 4, "--format", "json"))
    mask = (truth.costs["macs"] <= 6) | (truth.costs["latency_ms"] > 9)
    assert [row["score"] for row in rows] == np.sort(truth.scores[mask])[::-1][:4].tolist()
    table = list(
        csv.DictReader(io.StringIO(call("query", run, "macs <= 6 or latency_ms > 9", "--top", 4, "--format", "csv")))
    )
    assert [{**row, **{k: float(row[k]) for k in ("score", "macs", "latency_ms")}} for row in table] == rows
    plain = call("query", run)
    assert plain.splitlines()[0].split() == ["architecture", "score", "macs", "latency_ms"]
    assert len(plain.splitlines()) == 11
    assert call("query", run, "macs < 0") == "no network fulfils the condition\n"
    assert "No column 'x'" in call("query", run, "x < 0", code=ConfigError)


def test_query_of_a_large_space_takes_budgets(large):
    run, atlas = large
    rows = json.loads(call("query", run, "macs <= 9 and latency_ms < 12", "--format", "json"))
    assert len(rows) == 10
    assert all(row["macs"] <= 9 and row["latency_ms"] < 12 for row in rows)
    assert not (run / "atlas" / "networks.parquet").exists()
    assert "too large for a table" in call("query", run, "macs > 9", code=ConfigError)
    assert "smallest attainable macs is" in call("query", run, "macs <= 0", code=InfeasibleBudgetError)
    assert "no cost 'size'; it knows: macs, latency_ms" in call("query", run, "size <= 1", code=ConfigError)


def test_pareto(small):
    run, truth = small
    rows = json.loads(call("pareto", run, "--cost", "latency_ms", "--format", "json"))
    assert rows[-1]["score"] == truth.scores.max()
    assert all(row["gap"] == 0 for row in rows)
    costs = [row["latency_ms"] for row in rows]
    assert costs == sorted(costs)


def test_describe(small):
    run, truth = small
    text = "".join(map(str, truth.architectures[17]))
    (row,) = json.loads(call("describe", run, text, "--format", "json"))
    assert row["score"] == truth.scores[17]
    share = row["better"]
    assert share["at least"] <= truth.better(truth.scores[17]) / len(truth.scores) <= share["at most"]
    assert len(row["operators"]) == len(text)
    assert f"architecture                {text}" in call("describe", run, text)
    assert "blocks with" in call("describe", run, "0", code=InvalidArchitectureError)
    assert "blocks with" in call("describe", run, "9" * len(text), code=InvalidArchitectureError)


def test_costs(large):
    run, atlas = large
    rows = json.loads(call("costs", run, "--format", "json"))
    assert [row["cost"] for row in rows] == ["macs", "latency_ms"]
    assert all(row["minimum"] < row["median"] < row["maximum"] for row in rows)
    assert "macs=9 and latency_ms=12 can be met" in call(
        "costs", run, "--budget", "macs=9", "--budget", "latency_ms=12"
    )
    assert "smallest attainable" in call("costs", run, "--budget", "macs=0", code=InfeasibleBudgetError)
    assert "such as macs=3e8" in call("costs", run, "--budget", "macs", code=ConfigError)


def test_no_run(tmp_path):
    assert "is no run directory" in call("query", tmp_path / "none", code=ConfigError)
