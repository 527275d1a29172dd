"""Architectures sorted into a trie: what a walk costs, and how to cut it into independent jobs.

Legend: `A` architectures, `L` choice blocks. Architectures arrive distinct and in lexicographic order, so that a
subtree is a range of rows.
"""

from __future__ import annotations

import numpy as np

from archatlas.records import Architectures


def new_blocks(rows: Architectures) -> np.ndarray:
    """Return `(A,)`: how many blocks of each row are not shared with the row before it."""
    if len(rows) == 0:
        return np.zeros(0, dtype=int)
    length = rows.shape[1]
    differs = rows[1:] != rows[:-1]
    shared = np.where(differs.any(axis=1), differs.argmax(axis=1), length)
    return np.concatenate([[length], length - shared])


def block_passes(rows: Architectures) -> int:
    """Return the number of distinct non-empty prefixes: the block passes of one walk."""
    return int(new_blocks(rows).sum())


def split_jobs(rows: Architectures, num_jobs: int) -> list[slice]:
    """Cut a walk into at most `num_jobs` sub-walks of about equal cost that share as little as possible.

    Each cut is the row, within a quarter of a job around the ideal place, that shares the fewest blocks with the row
    before it. The jobs are independent: each walks its rows alone.

    Args:
        rows: `(A, L)`, sorted.
        num_jobs: At least 1.

    Returns:
        Ranges of rows, in order, that together hold every row once.
    """
    fresh = new_blocks(rows)
    cumulative = np.cumsum(fresh)
    share = cumulative[-1] / num_jobs if len(rows) else 0.0
    cuts = [0]
    for job in range(1, num_jobs):
        low, high = np.searchsorted(cumulative, [share * (job - 0.25), share * (job + 0.25)])
        low, high = max(int(low), cuts[-1] + 1), min(int(high) + 1, len(rows))
        if low < high:
            cuts.append(low + int(fresh[low:high].argmax()))
    cuts.append(len(rows))
    return [slice(a, b) for a, b in zip(cuts, cuts[1:], strict=False) if b > a]
