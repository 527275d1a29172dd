"""Exact search: grow architectures block by block, all at once, and drop what provably cannot be in the answer.

The k-best Viterbi algorithm with bounds. A partial architecture is kept only while
- each constraint can still be met by its cheapest completion, and
- for some target its Lagrangian bound (`multipliers.py`) is above the k-th best score already known there.
The best `width` by that bound go on. If nothing else was dropped, the answer is exact; otherwise the largest bound
dropped says what could have been missed, and the search is repeated with a greater width. Without constraints the
bound is the exact value of the best completion, so a width of `k` already suffices.

Every score and cost in an answer is recomputed the way users compute it; bounds allow for the rounding between both.

Legend: `N` partial architectures, `L` blocks, `C` constraints, `Q = 1 + C`, `T` targets, `R` rows of prices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from archatlas.atlas.multipliers import PricePool
from archatlas.atlas.problem import Problem
from archatlas.records import Architectures, Floats

WIDTH = 1 << 20
"""Most partial architectures that are kept at once; about 100 bytes each."""

_FIRST_WIDTH = 1 << 12
_WIDER = 1 << 2
_MAX_ROWS = 9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimum:
    """What was found for one target.

    Args:
        architectures: `(A, L)`, best first (ties in the order of the space); fewer than asked for if there are no
            more, or if none more were found (then `upper` is finite).
        scores: `(A,)`, the objective.
        upper: No other architecture within the limits scores more; minus infinity if there provably is no other.
    """

    architectures: Architectures
    scores: Floats
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cuts:
    """Linear bounds on what a partial architecture may reach: `weights @ sums + best[j][:, state]`.

    The first `R` rows bound the objective at the prices of one or several targets. The `M` rows after them only say
    whether the constraints can still be met: their value has to be at least `least`.
    """

    weights: Floats  # (R + M, Q)
    best: list[Floats]  # per block (R + M, S_j)
    least: Floats  # (M,)
    row: npt.NDArray[np.intp]  # (T,): which price row serves a target
    offset: Floats  # (T,): prices times limits; row value + offset bounds the objective under that target

    @property
    def rows(self) -> int:
        return len(self.weights) - len(self.least)

    @property
    def root(self) -> Floats:
        return self.best[0][: self.rows, 0]


def solve(
    problem: Problem,
    k: int = 1,
    *,
    enough: float = np.inf,
    seeds: Architectures | None = None,
    max_width: int = WIDTH,
) -> list[Optimum]:
    """Return the `k` best architectures of every target.

    Args:
        problem: What to maximise.
        k: How many; more than one only with a single target.
        enough: Stop at a target as soon as it is known whether it has a score of at least this; what is below then
            need not be the best.
        seeds: `(A, L)` architectures to start from; they need not be within the limits.
        max_width: Most partial architectures that are kept at once.

    Returns:
        One `Optimum` per target.
    """
    length, targets = len(problem.chain.num_choices), len(problem.limits)
    if not problem.feasible:
        nothing = np.empty((0, length), dtype=np.uint8)
        return [Optimum(architectures=nothing, scores=np.empty(0), upper=-np.inf)] * targets
    pool = PricePool(problem)
    prices: dict[int, Floats] = {}
    known = pool.architectures if seeds is None else np.concatenate([pool.architectures, seeds])
    answers = _pick(problem, known, k, np.full(targets, np.inf))
    width = max(_FIRST_WIDTH, 2 * k)
    while True:
        lower = np.array([answer.scores[-1] if len(answer.scores) == k else -np.inf for answer in answers])
        upper = np.array([answer.upper for answer in answers])
        sought = np.where(np.isfinite(enough), np.maximum(enough - 2 * problem.slack[0], lower), lower)
        open_targets = np.flatnonzero((upper > sought + problem.slack[0]) & (lower < enough))
        if not len(open_targets) or width > max(max_width, 2 * k):
            return answers
        for t in open_targets[np.linspace(0, len(open_targets) - 1, min(len(open_targets), _MAX_ROWS)).astype(int)]:
            if int(t) not in prices:
                prices[int(t)] = pool.prices(problem.limits[t])
        cuts = _make_cuts(problem, problem.limits[open_targets], np.array(list(prices.values())))
        complete, dropped = _walk(problem, cuts, _thresholds(problem, cuts, sought[open_targets]), width)
        bounds = upper
        bounds[open_targets] = np.minimum(upper[open_targets], np.minimum(cuts.root, dropped)[cuts.row] + cuts.offset)
        known = np.concatenate([complete, pool.architectures, *(answer.architectures for answer in answers)])
        answers = _pick(problem, known, k, bounds)
        width *= _WIDER


def _make_cuts(problem: Problem, limits: Floats, prices: Floats) -> _Cuts:
    """Give each target, that is each row of limits `(T, C)`, the best of the prices `(P, C)`; tabulate all bounds."""
    targets, count = limits.shape
    prices = np.unique(prices, axis=0)
    finite = np.where(np.isfinite(limits), limits, 0.0)
    weights = np.column_stack([np.ones(len(prices)), -prices])
    best = problem.chain.completions(weights, problem.steps)
    used, row = np.unique(np.argmin(best[0][:, 0] + finite @ prices.T, axis=1), return_inverse=True)
    least = -np.max(limits, axis=0, initial=-np.inf) - problem.slack[1:]
    musts = -np.eye(count)
    if targets == 1 and count > 1 and prices[used].any():
        joint = prices[used[0]] / prices[used[0]].max()
        musts = np.concatenate([musts, -joint[None]])
        least = np.append(least, -joint @ (finite[0] + problem.slack[1:]))
    musts = np.pad(musts, ((0, 0), (1, 0)))
    must_best = problem.chain.completions(musts, problem.steps)
    return _Cuts(
        weights=np.concatenate([weights[used], musts]),
        best=[np.concatenate([rows[used], must]) for rows, must in zip(best, must_best, strict=True)],
        least=least,
        row=row,
        offset=(finite * prices[used[row]]).sum(axis=1),
    )


def _thresholds(problem: Problem, cuts: _Cuts, lower: Floats) -> Floats:
    """Return `(R,)`: a row value that is not above this is of no use to any target of the row."""
    thresholds = np.full(cuts.rows, np.inf)
    np.minimum.at(thresholds, cuts.row, lower + problem.slack[0] - cuts.offset)
    return thresholds


def _walk(problem: Problem, cuts: _Cuts, thresholds: Floats, width: int) -> tuple[Architectures, Floats]:
    """Grow architectures from block to block.

    Returns:
        The complete ones `(N, L)` in the order of the space, and `(R,)` the largest row value that was dropped for
        want of width (minus infinity if none was).
    """
    chain, rows = problem.chain, cuts.rows
    paths = np.empty((1, 0), dtype=np.uint8)
    state = np.zeros(1, dtype=np.intp)
    sums = np.zeros((len(problem.steps), 1))
    dropped = np.full(rows, -np.inf)
    for j, count in enumerate(chain.num_choices):
        child = (state[:, None] * count + np.arange(count)).ravel()
        parent = np.repeat(np.arange(len(state)), count)
        forbidden = chain.forbidden[j]
        if forbidden is not None:
            legal = ~forbidden.ravel()[child % forbidden.size]
            child, parent = child[legal], parent[legal]
        added = np.stack([steps[j].ravel()[child % steps[j].size] for steps in problem.steps])
        grown = sums[:, parent] + added
        after = child % chain.states(j + 1)
        reach = cuts.weights @ grown + cuts.best[j + 1][:, after]
        useful = reach[:rows] > thresholds[:, None]
        keep = np.flatnonzero(useful.any(axis=0) & (reach[rows:] >= cuts.least[:, None]).all(axis=0))
        if len(keep) > width:
            value = np.where(useful[:, keep], reach[:rows, keep], -np.inf)
            order = np.argpartition(-(value - cuts.root[:, None]).max(axis=0), width)
            dropped = np.maximum(dropped, value[:, order[width:]].max(axis=1))
            keep = keep[np.sort(order[:width])]
        operator = (child[keep] % count).astype(np.uint8)
        paths = np.column_stack([paths[parent[keep]], operator])
        state, sums = after[keep], grown[:, keep]
    return paths, dropped


def _pick(problem: Problem, architectures: Architectures, k: int, bounds: Floats) -> list[Optimum]:
    """Choose the `k` best of known architectures for every target.

    Args:
        problem: Says what is within the limits.
        architectures: `(A, L)`, repeats allowed.
        k: How many.
        bounds: `(T,)`, no unknown architecture scores more than this or the k-th best.
    """
    text = (
        np.ascontiguousarray(architectures + 1).view(f"S{architectures.shape[1]}").ravel()
    )  # sorts fast; 0 would end it
    known = architectures[np.unique(text, return_index=True)[1]]
    scores, costs = problem.measure(known)
    ranked = np.argsort(-scores, kind="stable")
    known, scores, columns = known[ranked], scores[ranked], np.ascontiguousarray(costs[ranked].T)
    answers = []
    for limits, bound in zip(problem.limits, bounds, strict=True):
        within = np.ones(len(known), dtype=bool)
        for column, limit in zip(columns, limits, strict=True):
            within &= column <= limit
        best = np.flatnonzero(within)[:k]
        least = scores[best[-1]] if len(best) == k else -np.inf
        upper = bound if bound > least + 2 * problem.slack[0] else least
        answers.append(Optimum(architectures=known[best], scores=scores[best], upper=float(upper)))
    return answers
