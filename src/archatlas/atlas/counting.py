"""How many networks there are: the sum-product along the chain, with exact integers.

Each quantity is rounded step by step to whole bins, so that its sum is a whole number of bins too, and a state
carries the number of partial architectures of every sum. Every network is counted exactly once. What is rounded is
where it is counted: an axis states how far the value of a network can be from the centre of its bin. Sums of
integers (MACs, parameters) are binned by their greatest common divisor, which is exact where the bins suffice.

Legend: `L` blocks, `O_j` operators, `S_j` states before block `j`, `N` bins of all axes together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from archatlas.atlas.base import Axis
from archatlas.atlas.chain import Chain, Steps, make_chain, make_steps
from archatlas.records import WindowTerms
from archatlas.spaces import SpaceGraph

Counts = npt.NDArray[np.int64] | npt.NDArray[np.object_]
"""Exact integers: `int64`, or Python integers where the space is too large for them."""

_MEMORY_BYTES = 640 << 20
_MAX_BINS = 1 << 20
_LIMB_BITS = 40  # a limb grows by at most 8 bits per step before its carry moves on


def size(graph: SpaceGraph) -> int:
    """Return the number of distinct networks of a chain, of any length."""
    chain = make_chain(graph, [])
    counts = [1] * chain.num_choices[0]
    for j, count in enumerate(chain.num_choices[1:], start=1):
        forbidden = chain.forbidden[j]
        legal = np.ones((len(counts), count), dtype=bool) if forbidden is None else ~forbidden
        counts = [sum(n for n, ok in zip(counts, column, strict=True) if ok) for column in legal.T]
    return sum(counts)


def count(graph: SpaceGraph, named: dict[str, WindowTerms], shape: Sequence[int]) -> tuple[list[Axis], Counts]:
    """Return how many distinct networks have each combination of binned values.

    Args:
        graph: A chain.
        named: The quantity of each axis, under the axis' name.
        shape: How the bins are shared out, such as `(1, 4)`: the second axis gets four times the bins of the first.
            Their number is what fits the memory, up to about a million.

    Returns:
        One axis per quantity, and the counts with these axes.
    """
    chain = make_chain(graph, [terms.radius for terms in named.values()])
    limbs = -(-size(graph).bit_length() // _LIMB_BITS) if size(graph).bit_length() > 62 else 1
    states = max(chain.states(j) for j in range(len(chain.num_choices) + 1))
    room = min(_MAX_BINS, max(1024, _MEMORY_BYTES // (16 * states * limbs)))
    unit = (room / math.prod(shape)) ** (1 / len(shape))
    axes, shifts = [], []
    for (name, terms), share in zip(named.items(), shape, strict=True):
        axis, rounded = _round(name, make_steps(terms), max(2, int(unit * share)))
        axes.append(axis)
        shifts.append(rounded)
    strides = [math.prod(axis.bins for axis in axes[i + 1 :]) for i in range(len(axes))]
    bins = tuple(axis.bins for axis in axes)
    flat = _count_shifts(chain, shifts, strides, limbs, math.prod(bins))
    if limbs == 1:
        return axes, flat[0].reshape(bins)
    exact = sum(limb.astype(object) << (_LIMB_BITS * i) for i, limb in enumerate(flat))
    return axes, np.asarray(exact, dtype=object).reshape(bins)


def _round(name: str, steps: Steps, bins: int) -> tuple[Axis, list[npt.NDArray[np.int64]]]:
    """Round steps to whole bins, about `bins` in all; return the axis and the shift of each step."""
    lows = [step.min() for step in steps]
    raised = [step - low for step, low in zip(steps, lows, strict=True)]
    extent = sum(float(step.max()) for step in raised)
    width = extent / (bins - 1) if extent > 0 else 1.0
    if extent < 2**53 and all((step == np.rint(step)).all() for step in raised):
        divisor = int(np.gcd.reduce([int(np.gcd.reduce(step.astype(np.int64).ravel())) for step in raised])) or 1
        width = float(divisor * max(1, math.ceil(width / divisor)))
    shifts = [np.rint(step / width).astype(np.int64) for step in raised]
    errors = [step - shift * width for step, shift in zip(raised, shifts, strict=True)]
    middle = sum((float(e.max()) + float(e.min())) / 2 for e in errors)
    rounding = 1e-14 * sum(float(np.abs(step).max()) for step in steps)
    error = sum((float(e.max()) - float(e.min())) / 2 for e in errors)
    exact = error == 0 and all((step == np.rint(step)).all() for step in steps)
    axis = Axis(
        name=name,
        origin=float(sum(lows)) + middle,
        width=width,
        bins=1 + sum(int(shift.max()) for shift in shifts),
        error=0.0 if exact else error + rounding,
    )
    return axis, shifts


def _count_shifts(
    chain: Chain, shifts: Sequence[Sequence[npt.NDArray[np.int64]]], strides: Sequence[int], limbs: int, bins: int
) -> npt.NDArray[np.int64]:
    """Return the counts `(limbs, N)` of the sums of shifts, least significant limb first."""
    length = len(chain.num_choices)
    held = np.zeros((limbs, 1, 1), dtype=np.int64)
    held[0, 0, 0] = 1
    for j, choices in enumerate(chain.num_choices):
        child = np.arange(chain.states(j) * choices)
        shift = np.zeros_like(child)
        for rounded, stride in zip(shifts, strides, strict=True):
            shift += rounded[j].ravel()[child % rounded[j].size] * stride
        after = child % chain.states(j + 1) if j + 1 < length else np.zeros_like(child)
        forbidden = chain.forbidden[j]
        if forbidden is not None:
            child = child[~forbidden.ravel()[child % forbidden.size]]
        reach = held.shape[2]
        top = min(bins, reach + int(shift.max()))
        grown = np.zeros((limbs, int(after.max()) + 1, top), dtype=np.int64)
        for c in child.tolist():
            grown[:, after[c], shift[c] : shift[c] + reach] += held[:, c // choices, :]
        for low, high in zip(grown[:-1], grown[1:], strict=True):
            high += low >> _LIMB_BITS
            low &= (1 << _LIMB_BITS) - 1
        held = grown
    result = np.zeros((limbs, bins), dtype=np.int64)
    result[:, : held.shape[2]] = held[:, 0]
    return result
