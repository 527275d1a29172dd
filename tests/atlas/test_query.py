from __future__ import annotations

import contextlib
import math
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_factored_atlas import make

from archatlas.atlas.networks import write_networks
from archatlas.atlas.query import connect, parse_budgets, query_networks
from archatlas.errors import ConfigError
from archatlas.records import Budget


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("query") / "networks.parquet"
    atlas, _ = make([2, 3, 1], 0, (1, 0), 0.3)
    write_networks(path, atlas.graph, lambda a: {"score": atlas.score(a), **atlas.costs(a)})
    return path


@pytest.fixture(scope="module")
def truth():
    return make([2, 3, 1], 0, (1, 0), 0.3)[1]


def test_conditions_equal_enumeration(table, truth):
    macs, ms = truth.costs["macs"], truth.costs["latency_ms"]
    for condition, mask in (
        ("", np.ones(len(macs), bool)),
        ("macs <= 6", macs <= 6),
        ("MACS <= 6 and latency_ms < 7e0", (macs <= 6) & (ms < 7)),
        ("not (macs between 4 and 6) or latency_ms > abs(-9)", ~((macs >= 4) & (macs <= 6)) | (ms > 9)),
        ("round(macs) in (4, 5) -- a comment", np.isin(np.round(macs), (4, 5))),
        ("architecture like '0%' and macs * 2 < 12", (truth.architectures[:, 0] == 0) & (macs * 2 < 12)),
        ("case when macs > 5 then latency_ms < 6 else true end", np.where(macs > 5, ms < 6, True)),
    ):
        rows = query_networks(table, condition, 25)
        np.testing.assert_array_equal([row["score"] for row in rows], np.sort(truth.scores[mask])[::-1][:25])
        assert not rows or list(rows[0]) == ["architecture", "score", "macs", "latency_ms"]


HOSTILE = [
    "macs < 5; drop table networks",
    "macs < 5); copy networks to '{secret}' (format csv",
    "1=1) union select * from read_csv('{secret}') where (1=1",
    "macs < (select count(*) from read_text('{secret}'))",
    "exists (from '{secret}')",
    "macs in (select 1)",
    "macs < 5) order by (macs",
    "macs < 5) limit (1",
    "macs), (1",
    "1) from networks where (1",
    "attach '{secret}'",
    "install httpfs",
    "pragma database_list",
    "read_blob('{secret}')",
    "getenv('HOME') = 'x'",
    "current_setting('home_directory') = 'x'",
    "query('select 1')",
    "macs < ?",
    "list_sum([x for x in [1]]) > 0",
    "count(*) > 1",
    "row_number() over () < 3",
    "networks.macs < 5",
    "",
    "\x00",
    "(" * 3000,
    "(" * 40,
    "not " * 900 + "1 +",
    "macs < " + "9" * 3990 + "x",
]


@pytest.mark.parametrize("condition", [h for h in HOSTILE if h])
def test_anything_but_a_condition_is_refused_and_touches_nothing(table, tmp_path, condition):
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    before = sorted(path.name for path in (*tmp_path.iterdir(), *table.parent.iterdir()))
    with pytest.raises(ConfigError) as caught:
        query_networks(table, condition.format(secret=secret), 5)
    assert len(str(caught.value)) < 25_000
    assert secret.read_text() == "a,b\n1,2\n"
    assert sorted(path.name for path in (*tmp_path.iterdir(), *table.parent.iterdir())) == before


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('{secret}')",
        "SELECT * FROM '{secret}'",
        "COPY (SELECT 1) TO '{secret}'",
        "ATTACH '{secret}.db'",
        "EXPORT DATABASE '{secret}.d'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "DELETE FROM networks",
    ],
)
def test_the_connection_itself_is_a_wall(table, tmp_path, statement):
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with connect(ds.dataset(table)) as connection, pytest.raises(duckdb.Error):
        connection.execute(statement.format(secret=secret)).fetchall()
    assert secret.read_text() == "a\n1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_unknown_columns_are_answered_with_the_list(table):
    with pytest.raises(ConfigError, match=r"No column 'flops'; the columns are: architecture, score, macs, latency_ms"):
        query_networks(table, "flops < 3", 5)


def test_unknown_functions_are_answered_with_the_list(table):
    with pytest.raises(ConfigError, match=r"may not call read_blob; it may call: abs, ceil"):
        query_networks(table, "read_blob('x') = 1", 5)


@settings(max_examples=30)
@given(text=st.text(st.sampled_from(list("()'\";<>=+-*/ macs15%\n\\,.[]{}|&~:$?@")), max_size=30))
def test_noise_is_answered_or_refused(table, text):
    with contextlib.suppress(ConfigError):
        query_networks(table, text, 1)


def test_budgets():
    assert parse_budgets("") == []
    assert parse_budgets(" macs <= 300e6 AND latency_ms < 8 ") == [
        Budget(cost="macs", upper=3e8),
        Budget(cost="latency_ms", upper=math.nextafter(8, 0)),
    ]
    assert parse_budgets("(params <= 2_000_000)") == [Budget(cost="params", upper=2e6)]


@pytest.mark.parametrize("text", ["macs > 3", "macs <= 3 or params <= 2", "macs", "macs <= x", "macs <= 3;", "and"])
def test_only_upper_bounds_are_budgets(text):
    with pytest.raises(ConfigError, match="too large for a table"):
        parse_budgets(text)
