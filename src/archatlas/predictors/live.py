"""Which operators of an architecture take part in what it computes.

In a cell an operator may be `none`, which outputs zero. Whatever is only fed by such operators, or only feeds them,
is dead: it changes no output, so it must count neither as capacity nor as an effect. In a chain without `none`
everything is alive.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from archatlas.records import Architectures
from archatlas.spaces import SpaceGraph

ZERO = "zero"
"""Name of the attribute that marks an operator without output."""


def zero_operators(graph: SpaceGraph) -> tuple[npt.NDArray[np.bool_], ...]:
    """Return for each node `(O_i,)`: which of its operators output zero."""
    if ZERO not in graph.attribute_names:
        return tuple(np.zeros(count, dtype=bool) for count in graph.num_choices)
    column = graph.attribute_names.index(ZERO)
    return tuple(attributes[:, column] > 0 for attributes in graph.attributes)


def strip_dead(graph: SpaceGraph, architectures: Architectures) -> Architectures:
    """Replace every dead operator by the node's zero operator.

    A node is alive if a path without zero operators leads from an entry of the graph through it to an exit.

    Args:
        graph: The space.
        architectures: `(A, L)`.

    Returns:
        `(A, L)`; the same array where no node can be dead.
    """
    zeros = zero_operators(graph)
    if not any(zero.any() for zero in zeros):
        return architectures
    active: npt.NDArray[np.bool_] = np.stack(
        [~zero[column] for zero, column in zip(zeros, architectures.T, strict=True)], axis=1
    )
    alive = _reached(active, graph.edges) & _reached(active, tuple((j, i) for i, j in graph.edges))
    silent = np.array([int(zero.argmax()) if zero.any() else 0 for zero in zeros], dtype=np.uint8)
    can_be_silent = np.array([zero.any() for zero in zeros])
    return np.where(alive | ~can_be_silent, architectures, silent)


def _reached(active: npt.NDArray[np.bool_], edges: tuple[tuple[int, int], ...]) -> npt.NDArray[np.bool_]:
    """Return `(A, L)`: active nodes that a path of active nodes joins to a node without predecessors."""
    entered = {j for _, j in edges}
    reached: npt.NDArray[np.bool_] = active & np.array([i not in entered for i in range(active.shape[1])])
    for _ in range(active.shape[1]):
        for i, j in edges:
            reached[:, j] |= active[:, j] & reached[:, i]
    return reached
