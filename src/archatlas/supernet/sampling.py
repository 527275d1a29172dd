"""Which paths of the super-network one update trains. A sampler is a pure function of `(space, seed, step)`.

All gradients of one step are summed before the update, so that with disjoint paths every operator takes a full step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from archatlas.records import Architecture
from archatlas.spaces import ChainSpace

PathSampler = Callable[[ChainSpace, np.random.Generator], list[Architecture]]
"""Returns the paths of one step."""


def uniform(space: ChainSpace, rng: np.random.Generator) -> list[Architecture]:
    """One path, every operator equally likely (Guo et al. 2020)."""
    return [tuple(int(rng.integers(count)) for count in space.num_choices)]


def fair(space: ChainSpace, rng: np.random.Generator) -> list[Architecture]:
    """Strict fairness (Chu et al. 2021; the paper's): a permutation of the operators of every block, side by side.

    With `m` operators per block, `m` disjoint paths train every operator exactly once. Blocks with fewer operators
    than the largest start over with a fresh permutation.
    """
    width = max(space.num_choices)
    columns = []
    for count in space.num_choices:
        rounds = -(-width // count)
        columns.append(np.concatenate([rng.permutation(count) for _ in range(rounds)])[:width])
    return [tuple(int(choice) for choice in row) for row in np.stack(columns, axis=1)]


def sandwich(space: ChainSpace, rng: np.random.Generator) -> list[Architecture]:
    """First and last operator everywhere, and two random paths (the sandwich rule of Yu & Huang 2019).

    Spaces list their operators from small to large, so the first path is the smallest network and the second the
    largest.
    """
    smallest = tuple(0 for _ in space.num_choices)
    largest = tuple(count - 1 for count in space.num_choices)
    return [smallest, largest, *uniform(space, rng), *uniform(space, rng)]


SAMPLERS: Mapping[str, PathSampler] = {"uniform": uniform, "fair": fair, "sandwich": sandwich}
