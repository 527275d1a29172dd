from __future__ import annotations

import numpy as np
import pytest

from archatlas.benchmarks.tables import cell_costs
from archatlas.predictors.baselines import trivial_scores
from archatlas.predictors.live import strip_dead
from archatlas.records import as_array
from archatlas.spaces.nasbench201 import CELL_EDGES, cell_graph


def brute_force(cell: tuple[int, ...]) -> tuple[int, ...]:
    """Keep an operator only if a path from map 0 to map 3 without `none` goes through it."""
    on_path = set()

    def walk(here: int, path: list[int]) -> None:
        if here == 3:
            on_path.update(path)
        for i, (start, end) in enumerate(CELL_EDGES):
            if start == here and cell[i] != 0:
                walk(end, [*path, i])

    walk(0, [])
    return tuple(operator if i in on_path else 0 for i, operator in enumerate(cell))


def test_dead_operators_of_all_cells() -> None:
    graph = cell_graph(cell_costs())
    cells = np.indices((5,) * 6, dtype=np.uint8).reshape(6, -1).T[::7]
    expected = as_array([brute_force(tuple(cell)) for cell in cells.tolist()])
    np.testing.assert_array_equal(strip_dead(graph, cells), expected)


def test_cell_costs_are_counted() -> None:
    costs = cell_costs()
    assert costs["macs"].entries[0].tolist() == [0, 0, 3_932_160, 35_389_440, 0]
    assert costs["params"].entries[0][2] == 5 * (16 * 16 + 32 * 32 + 64 * 64 + 2 * (16 + 32 + 64))


def test_trivial_scores_count_the_living() -> None:
    graph = cell_graph(cell_costs())
    scores = trivial_scores(graph, as_array([[3, 0, 0, 0, 0, 3], [3, 0, 3, 1, 0, 3]]))
    assert scores["depth"].tolist() == [0, 3]
    assert scores["macs"].tolist() == [0, 3 * 35_389_440]


@pytest.mark.parametrize("length", [0, 3])
def test_any_batch(length: int) -> None:
    graph = cell_graph(cell_costs())
    assert strip_dead(graph, np.zeros((length, 6), dtype=np.uint8)).shape == (length, 6)
