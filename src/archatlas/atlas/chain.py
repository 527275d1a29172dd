"""The chain as a state machine: what every dynamic programme over the atlas walks along.

Choosing the operators from block 0 to block `L - 1`, the *state* before block `j` is what the last `memory` operators
were, as one number (the latest operator least significant). A sum over windows of radius `K` becomes a sum over
*steps*: the window around block `i` is complete as soon as block `i + K` is chosen, so with a memory of `2 K`
operators every step knows all that it adds. Quantities of different radius share one chain: what remembers less
reads the end of the state.

Legend: `L` blocks, `O_j` operators of block `j`, `S_j` states before block `j`, `R` rows of weights, `Q` quantities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from archatlas.records import Architectures, Floats, WindowTerms
from archatlas.spaces import SpaceGraph

Steps = tuple[Floats, ...]
"""What each choice adds: per block `j` an array `(s_j, O_j)`, `s_j` states of as many operators as it depends on."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """The blocks, which pairs of neighbours are forbidden, and how many operators a state remembers.

    Args:
        num_choices: `O_j`.
        forbidden: Per block `(O_(j-1), O_j)`: pairs that no canonical architecture has; None where all are legal.
        memory: How many operators a state remembers.
    """

    num_choices: tuple[int, ...]
    forbidden: tuple[Bools | None, ...]
    memory: int

    def states(self, block: int) -> int:
        """Return `S_j`, the number of states before block `j`; `j = L` is the end."""
        return math.prod(self.num_choices[max(0, block - self.memory) : block])

    def completions(self, weights: Floats, quantities: Sequence[Steps]) -> list[Floats]:
        """Return the best that can still be added from every state: max-plus, backwards.

        Args:
            weights: `(R, Q)`; row `r` maximises `sum_q weights[r, q] * quantity_q`.
            quantities: `Q` quantities.

        Returns:
            For `j` from 0 to `L` an array `(R, S_j)`; minus infinity where no canonical completion exists.
        """
        rows = len(weights)
        best = [np.zeros((rows, self.states(len(self.num_choices))))]
        for j in reversed(range(len(self.num_choices))):
            value = np.zeros((rows, self.states(j) * self.num_choices[j]))
            for weight, steps in zip(weights.T, quantities, strict=True):
                view = _in_runs(value, steps[j].size)
                view += weight[:, None, None] * steps[j].ravel()
            view = _in_runs(value, best[0].shape[1])
            view += best[0][:, None, :]
            forbidden = self.forbidden[j]
            if forbidden is not None:
                _in_runs(value, forbidden.size)[:, :, forbidden.ravel()] = -np.inf
            best.insert(0, _in_runs(value, self.num_choices[j]).max(axis=2))
        return best

    def argmax(self, weights: Floats, quantities: Sequence[Steps], best: list[Floats]) -> Architectures:
        """Return `(R, L)`, for each row of weights an architecture that attains `best[0]`; forwards along `best`."""
        state = np.zeros(len(weights), dtype=np.intp)
        chosen = np.zeros((len(weights), len(self.num_choices)), dtype=np.uint8)
        for j, count in enumerate(self.num_choices):
            child = state[:, None] * count + np.arange(count)
            value = np.take_along_axis(best[j + 1], child % best[j + 1].shape[1], axis=1)
            for weight, steps in zip(weights.T, quantities, strict=True):
                value = value + weight[:, None] * steps[j].ravel()[child % steps[j].size]
            forbidden = self.forbidden[j]
            if forbidden is not None:
                value[forbidden.ravel()[child % forbidden.size]] = -np.inf
            operator = value.argmax(axis=1)
            chosen[:, j] = operator
            state = np.take_along_axis(child, operator[:, None], axis=1)[:, 0] % best[j + 1].shape[1]
        return chosen


def _in_runs(value: Floats, size: int) -> Floats:
    """View `(R, n * size)` as `(R, n, size)`."""
    return value.reshape(len(value), value.shape[1] // size, size)


def forbidden_pairs(graph: SpaceGraph) -> tuple[Bools | None, ...]:
    """Return per block the pairs `(O_(j-1), O_j)` of a no-op before an operator that could change places with it."""
    pairs: list[Bools | None] = [None]
    for j, same in enumerate(graph.interchangeable, start=1):
        before, here = np.array(graph.no_ops[j - 1]), np.array(graph.no_ops[j])
        pairs.append(before[:, None] & ~here if same and before.any() else None)
    return tuple(pairs)


def make_chain(graph: SpaceGraph, radii: Sequence[int], allowed: Sequence[Sequence[int]] | None = None) -> Chain:
    """Return the chain of canonical architectures for quantities of these window radii.

    Args:
        graph: The space.
        radii: `K` of each quantity that will be carried.
        allowed: Per block the operators to choose from; None for all.
    """
    forbidden = forbidden_pairs(graph)
    if allowed is not None:
        forbidden = tuple(
            None if pair is None else pair[np.ix_(allowed[j - 1], allowed[j])] for j, pair in enumerate(forbidden)
        )
    pairwise = any(pair is not None for pair in forbidden)
    counts = graph.num_choices if allowed is None else tuple(len(operators) for operators in allowed)
    return Chain(num_choices=counts, forbidden=forbidden, memory=max(2 * max(radii, default=0), int(pairwise)))


def make_steps(terms: WindowTerms) -> Steps:
    """Return what each choice adds, so that the sum over the steps is the score (the offset is in step 0)."""
    length, radius = len(terms.terms), terms.radius
    steps = []
    for j in range(length):
        completed = [j - radius] if j < length - 1 else list(range(j - radius, length))
        windows = [(max(0, i - radius), terms.terms[i]) for i in completed if i >= 0]
        first = min((start for start, _ in windows), default=j)
        total = np.zeros(terms.num_choices[first : j + 1])
        for start, term in windows:
            total += term.reshape((1,) * (start - first) + term.shape)
        steps.append(total.reshape(-1, terms.num_choices[j]))
    steps[0] = steps[0] + terms.offset
    return tuple(steps)


def restrict(terms: WindowTerms, allowed: Sequence[Sequence[int]]) -> WindowTerms:
    """Return the terms of the sub-space that has only the allowed operators of each block, renumbered."""
    radius = terms.radius
    cut = tuple(term[np.ix_(*allowed[max(0, i - radius) : i + radius + 1])] for i, term in enumerate(terms.terms))
    return WindowTerms(radius=radius, terms=cut, offset=terms.offset)
