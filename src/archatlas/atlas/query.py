"""A user's own condition over a table of networks, in SQL; and what of it a space of any size can answer.

The condition is the user's, the statement around it is ours. Three walls keep it a condition: DuckDB's own parser
must read it as one expression made of columns, constants, operators and a list of plain functions; the connection
has external access, extensions and Python look-ups switched off and its configuration locked; and it sees one
in-memory view of the Parquet file, which cannot be written to.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.dataset as ds

from archatlas.errors import ConfigError
from archatlas.records import Budget

_KINDS = {
    "BETWEEN",
    "CASE",
    "CAST",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "OPERATOR",
    "TYPE",
}
_OPERATORS = {"+", "-", "*", "/", "//", "%", "**", "^", "~~", "!~~", "~~*", "!~~*"}
_FUNCTIONS = {
    *("abs", "ceil", "ceiling", "exp", "floor", "greatest", "least", "ln", "log", "log10", "log2", "pow", "power"),
    *("round", "sign", "sqrt", "contains", "ends_with", "length", "lower", "prefix", "regexp_full_match"),
    *("regexp_matches", "starts_with", "strlen", "strpos", "substr", "substring", "suffix", "upper"),
}
_SETTINGS = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": "1GB",
}
_MOST_CHARACTERS = 4_000
_DEEPEST = 40  # the parser takes exponential time on nested brackets that do not close
_BOUND = re.compile(r"\(?\s*([A-Za-z_]\w*)\s*(<=|<)\s*([-+]?[0-9][0-9_]*\.?[0-9_]*(?:[eE][-+]?[0-9]+)?)\s*\)?")


def query_networks(path: Path, condition: str, top: int) -> list[dict[str, Any]]:
    """Return the best networks that fulfil a condition.

    Args:
        path: The table that `write_networks` made.
        condition: An SQL expression over its columns, such as `macs <= 60e6 and params < 2e6`; empty for all.
        top: How many rows at most.

    Returns:
        One dictionary per network, best first: all columns but `number`.

    Raises:
        ConfigError: If the condition is anything but a condition over the known columns.
    """
    networks = ds.dataset(path, format="parquet")
    columns = [name for name in networks.schema.names if name != "number"]
    with connect(networks) as connection:
        _check(connection, condition, columns)
        where = f"WHERE ({condition}\n)" if condition.strip() else ""
        statement = f"SELECT {', '.join(columns)} FROM networks {where} ORDER BY score DESC, number LIMIT {int(top)}"
        try:
            rows = connection.execute(statement).fetchall()
        except duckdb.Error as error:
            raise ConfigError(f"Cannot answer {condition!r}: {_first_line(error)}") from None
    return [dict(zip(columns, row, strict=True)) for row in rows]


def connect(networks: ds.Dataset) -> duckdb.DuckDBPyConnection:
    """Return a connection that sees the view `networks` and nothing else, for good."""
    connection = duckdb.connect(":memory:")
    connection.register("networks", networks)
    for name, value in _SETTINGS.items():
        connection.execute(f"SET {name} = '{value}'")
    connection.execute("SET lock_configuration = true")
    return connection


def _check(connection: duckdb.DuckDBPyConnection, condition: str, columns: list[str]) -> None:
    """Refuse what is not one expression over the columns."""
    if not condition.strip():
        return
    if len(condition) > _MOST_CHARACTERS:
        raise ConfigError(f"The condition has {len(condition):,} characters; at most {_MOST_CHARACTERS:,} are read.")
    depth = max(itertools.accumulate((char in "([{") - (char in ")]}") for char in condition))
    if depth > _DEEPEST:
        raise ConfigError(f"The condition nests brackets {depth} deep; at most {_DEEPEST} are read.")
    try:
        row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT ({condition}\n)"]).fetchone()
        tree = json.loads(row[0]) if row else {}
    except (duckdb.Error, RecursionError, ValueError) as error:
        raise ConfigError(f"Cannot read {condition!r} as a condition: {_first_line(error)}") from None
    if tree.get("error"):
        raise ConfigError(f"Cannot read {condition!r} as a condition: {tree.get('error_message', 'not SQL')}")
    statements = tree["statements"]
    node = statements[0]["node"]
    plain = len(statements) == 1 and node["type"] == "SELECT_NODE" and node["from_table"]["type"] == "EMPTY"
    empty = not any(node.get(part) for part in ("modifiers", "where_clause", "group_expressions", "having", "qualify"))
    if not (plain and empty and len(node["select_list"]) == 1 and not node["cte_map"]["map"]):
        raise ConfigError(f"Expected one condition such as macs <= 60e6 and params < 2e6, got {condition!r}.")
    for part in _nodes(node["select_list"]):
        kind = part["class"]
        if kind not in _KINDS:
            raise ConfigError(f"A condition may not contain a {kind.lower().replace('_', ' ')}: {condition!r}.")
        if kind == "FUNCTION" and part["function_name"].lower() not in _FUNCTIONS | _OPERATORS:
            names = ", ".join(sorted(_FUNCTIONS))
            raise ConfigError(f"A condition may not call {part['function_name']}; it may call: {names}.")
        if kind == "COLUMN_REF" and (len(part["column_names"]) != 1 or part["column_names"][0].lower() not in columns):
            raise ConfigError(f"No column {'.'.join(part['column_names'])!r}; the columns are: {', '.join(columns)}.")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every expression node of a parse tree."""
    waiting = [tree]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            if "class" in here:
                yield here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def parse_budgets(condition: str) -> list[Budget]:
    """Read a conjunction of upper bounds, such as `macs <= 300e6 and latency_ms < 8`; empty for no budget.

    Raises:
        ConfigError: If the condition is anything else.
    """
    budgets = []
    for part in re.split(r"\s+and\s+", condition.strip(), flags=re.IGNORECASE) if condition.strip() else []:
        match = _BOUND.fullmatch(part.strip())
        if match is None:
            raise ConfigError(
                f"This space is too large for a table of its networks, so a condition is a list of budgets such as "
                f"macs <= 300e6 and params < 5e6; cannot use {part.strip()!r}."
            )
        upper = float(match[3])
        budgets.append(Budget(cost=match[1], upper=upper if match[2] == "<=" else math.nextafter(upper, -np.inf)))
    return budgets
