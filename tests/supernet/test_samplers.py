from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from archatlas.spaces.mobile import fairnas
from archatlas.supernet import SAMPLERS
from archatlas.testing.tiny import tiny_space


def uneven_space():
    """The tiny space with 3, 2 and 1 operators."""
    space = tiny_space()
    blocks = [
        dataclasses.replace(b, operators=b.operators[:count]) for b, count in zip(space.blocks, (3, 2, 1), strict=True)
    ]
    return dataclasses.replace(space, blocks=tuple(blocks))


@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.parametrize("make", [tiny_space, uneven_space, fairnas])
def test_paths_are_legal_and_a_pure_function_of_seed_and_step(name, make):
    space = make()
    for step in range(20):
        paths = SAMPLERS[name](space, np.random.default_rng((1, step)))
        for path in paths:
            space.validate(path)
            assert all(type(choice) is int for choice in path)
        assert paths == SAMPLERS[name](space, np.random.default_rng((1, step)))


def test_uniform_draws_one_path_and_every_operator_equally_often():
    space, rng = tiny_space(), np.random.default_rng(0)
    drawn = [SAMPLERS["uniform"](space, rng) for _ in range(3000)]
    assert {len(paths) for paths in drawn} == {1}
    counts = np.array([np.bincount(column, minlength=3) for column in np.array([p[0] for p in drawn]).T])
    assert (abs(counts - 1000) < 120).all()  # 4.6 standard deviations


@pytest.mark.parametrize("make", [tiny_space, fairnas])
def test_fair_uses_every_operator_of_every_block_exactly_once_per_step(make):
    space, rng = make(), np.random.default_rng(0)
    for _ in range(50):
        paths = np.array(SAMPLERS["fair"](space, rng))
        assert paths.shape == (max(space.num_choices), len(space.blocks))
        for column, count in zip(paths.T, space.num_choices, strict=True):
            assert sorted(column) == list(range(count))


def test_fair_with_uneven_blocks_uses_every_operator_and_none_twice_more_than_another():
    space, rng = uneven_space(), np.random.default_rng(0)
    totals = [np.zeros(count, dtype=int) for count in space.num_choices]
    for _ in range(300):
        paths = np.array(SAMPLERS["fair"](space, rng))
        assert paths.shape == (3, 3)
        for column, total in zip(paths.T, totals, strict=True):
            used = np.bincount(column, minlength=len(total))
            assert used.min() >= 1
            assert used.max() - used.min() <= 1
            total += used
    assert totals[0].tolist() == [300, 300, 300]
    assert abs(totals[1][0] - totals[1][1]) < 90


def test_the_sandwich_holds_the_smallest_the_largest_and_two_random_paths():
    space, rng = uneven_space(), np.random.default_rng(0)
    drawn = [SAMPLERS["sandwich"](space, rng) for _ in range(100)]
    assert all(paths[:2] == [(0, 0, 0), (2, 1, 0)] and len(paths) == 4 for paths in drawn)
    assert len({path for paths in drawn for path in paths[2:]}) == 6
