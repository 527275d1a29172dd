from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archatlas.evaluation import block_passes, split_jobs
from archatlas.records import as_array
from archatlas.spaces.nas_bench_macro import nas_bench_macro

ROWS = st.integers(1, 5).flatmap(
    lambda length: st.lists(st.tuples(*[st.integers(0, 3)] * length), min_size=1, max_size=60, unique=True)
)


def prefixes(rows) -> int:
    """Distinct non-empty prefixes, the slow way."""
    return len({tuple(row[:length]) for row in rows for length in range(1, len(row) + 1)})


@given(rows=ROWS)
def test_passes_are_the_distinct_prefixes(rows):
    assert block_passes(as_array(sorted(rows))) == prefixes(rows)


@given(rows=ROWS, num_jobs=st.integers(1, 70))
def test_jobs_cover_every_row_once_in_order(rows, num_jobs):
    rows = as_array(sorted(rows))
    jobs = split_jobs(rows, num_jobs)
    assert 1 <= len(jobs) <= num_jobs
    assert np.concatenate([np.arange(len(rows))[job] for job in jobs]).tolist() == list(range(len(rows)))


def test_no_rows_no_jobs():
    empty = as_array(np.empty((0, 4)))
    assert block_passes(empty) == 0
    assert split_jobs(empty, 3) == []


def test_the_whole_of_nas_bench_macro_takes_6546_passes():
    space = nas_bench_macro()
    everything = space.all_architectures()
    rows = everything[space.is_canonical(everything)]
    assert len(rows) == 3969
    assert rows.size == 31_752
    assert block_passes(rows) == 6546


@pytest.mark.parametrize("num_jobs", [2, 8, 32])
def test_jobs_are_balanced_and_share_almost_everything(num_jobs):
    space = nas_bench_macro()
    everything = space.all_architectures()
    rows = everything[space.is_canonical(everything)]
    costs = [block_passes(rows[job]) for job in split_jobs(rows, num_jobs)]
    assert len(costs) == num_jobs
    assert max(costs) < 1.6 * 6546 / num_jobs
    assert sum(costs) < 6546 + num_jobs * len(space.blocks)
