from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archatlas.records import as_array
from archatlas.search.sampling import DESIGNS, balanced, shared

WITHIN = st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=5, unique=True), min_size=1, max_size=6)


@given(within=WITHIN, count=st.integers(1, 80), seed=st.integers(0, 99), name=st.sampled_from(sorted(DESIGNS)))
def test_designs_draw_what_is_allowed_and_are_seeded(within, count, seed, name):
    rows = DESIGNS[name](within, count, np.random.default_rng(seed))
    assert rows.shape == (count, len(within))
    assert rows.dtype == np.uint8
    assert all(set(column.tolist()) <= set(allowed) for column, allowed in zip(rows.T, within, strict=True))
    np.testing.assert_array_equal(rows, DESIGNS[name](within, count, np.random.default_rng(seed)))


@given(within=WITHIN, count=st.integers(1, 120), seed=st.integers(0, 99))
def test_balanced_uses_every_operator_equally_often(within, count, seed):
    rows = balanced(within, count, np.random.default_rng(seed))
    for column, allowed in zip(rows.T, within, strict=True):
        counts = [int((column == operator).sum()) for operator in allowed]
        assert max(counts) - min(counts) <= 1


def _pair_spread(rows, blocks=8, operators=3):
    """The largest difference between how often two pairs of neighbouring operators occur."""
    spreads = []
    for i in range(blocks - 1):
        pairs = np.bincount(rows[:, i].astype(int) * operators + rows[:, i + 1], minlength=operators**2)
        spreads.append(int(pairs.max() - pairs.min()))
    return max(spreads)


@pytest.mark.parametrize("count", [60, 90, 100, 121])
def test_balanced_uses_neighbouring_pairs_nearly_equally_often(count):
    within = [range(3)] * 8
    for seed in range(10):
        rows = balanced(within, count, np.random.default_rng(seed))
        independent = DESIGNS["uniform"](within, count, np.random.default_rng(seed))
        assert _pair_spread(rows) <= 2 < _pair_spread(independent)


def test_pairs_are_exact_where_the_numbers_allow():
    rows = balanced([range(3)] * 5, 90, np.random.default_rng(0))
    assert _pair_spread(rows, blocks=5) == 0


def test_shared_continues_each_prefix_four_times():
    rows = shared([range(6)] * 6, 48, np.random.default_rng(0))
    assert len(np.unique(rows[:, :3], axis=0)) <= 12
    assert len(np.unique(rows, axis=0)) > 40
    assert shared([range(3)], 7, np.random.default_rng(0)).shape == (7, 1)
    assert as_array(rows).flags.c_contiguous
