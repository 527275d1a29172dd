"""Designs: which architectures of a space are measured. Each is drawn from the allowed operators of each block.

Legend: `n` samples, `L` blocks, `O_i` allowed operators of block `i`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from archatlas.records import Architectures, as_array

Within = Sequence[Sequence[int]]
"""Allowed operators of each block."""

Design = Callable[[Within, int, np.random.Generator], Architectures]
"""Draws `(n, L)` architectures; repeats are possible."""


def uniform(within: Within, count: int, rng: np.random.Generator) -> Architectures:
    """Independent draws, every operator equally likely (the paper's)."""
    return as_array(np.stack([rng.choice(allowed, size=count) for allowed in within], axis=1))


def balanced(within: Within, count: int, rng: np.random.Generator) -> Architectures:
    """Every operator of every block equally often, and neighbouring pairs as evenly as the numbers allow.

    The chain grows block by block: among the samples that hold operator `v` at block `i`, the operators of block
    `i + 1` are dealt out evenly; what is left over after whole deals goes to the operators that are rarest so far.
    """
    first = np.resize(np.arange(len(within[0])), count)
    columns = [rng.permutation(first)]
    for allowed in within[1:]:
        columns.append(_deal(columns[-1], len(allowed), rng))
    return as_array(np.stack([np.asarray(allowed)[c] for allowed, c in zip(within, columns, strict=True)], axis=1))


def _deal(groups: np.ndarray, num_operators: int, rng: np.random.Generator) -> np.ndarray:
    column = np.empty(len(groups), dtype=np.intp)
    used = np.zeros(num_operators, dtype=int)
    for group in rng.permutation(np.unique(groups)):
        rows = rng.permutation(np.flatnonzero(groups == group))
        whole, rest = divmod(len(rows), num_operators)
        rarest = np.lexsort((rng.random(num_operators), used))[:rest]
        hand = np.concatenate([np.tile(np.arange(num_operators), whole), rarest])
        column[rows] = hand
        used += np.bincount(hand, minlength=num_operators)
    return column


def shared(within: Within, count: int, rng: np.random.Generator) -> Architectures:
    """A balanced design over the first half of the chain with a quarter of the prefixes, each continued four times.

    Samples share prefixes, so that a walk takes fewer block passes per sample; the price is a less even design.
    """
    half = len(within) // 2
    if half == 0:
        return balanced(within, count, rng)
    prefixes = balanced(within[:half], -(-count // 4), rng)
    tails = balanced(within[half:], count, rng)
    return as_array(np.concatenate([np.repeat(prefixes, 4, axis=0)[:count], tails], axis=1))


DESIGNS: Mapping[str, Design] = {"balanced": balanced, "uniform": uniform, "shared": shared}
