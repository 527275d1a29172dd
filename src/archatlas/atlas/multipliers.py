"""Lagrange multipliers: the prices of the constraints at which the bound on the optimum is tightest.

For prices `m >= 0` no architecture within the limits `b` scores more than
`max_x [score(x) - m . cost(x)] + m . b`, and the inner maximum is one backward pass over the chain. The bound is
convex and piecewise linear in `m`; each pass returns the architecture that attains it, that is one more linear piece.
Kelley's cutting planes minimise it: a small linear programme over the pieces found so far proposes the next prices.
All targets share the pieces.

Reference: Kelley, "The cutting-plane method for solving convex programs", 1960; Handler and Zang, "A dual algorithm
for the constrained shortest path problem", 1980.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from archatlas.atlas.chain import Bools
from archatlas.atlas.problem import Problem
from archatlas.records import Architectures, Floats

_MAX_ROUNDS = 40
_PRECISE = 1e-5  # of the objective's range
_MAX_PRICE = 1e4  # objective ranges per constraint range


class PricePool:
    """Linear pieces of the bound, and the architectures that they came from.

    Args:
        problem: The problem; its scales make prices and scores dimensionless inside.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        count = len(problem.constraints)
        self._found: list[Architectures] = []
        self._scores, self._costs = np.empty(0), np.empty((0, count))
        self._evaluate(np.diag([1.0] + [-1.0] * count))  # the best of all, and the cheapest in each constraint

    @property
    def architectures(self) -> Architectures:
        """Every architecture that was the best at some prices, `(A, L)`."""
        return np.concatenate(self._found)

    def prices(self, limits: Floats) -> Floats:
        """Return the prices `(C,)` with the tightest bound under limits `(C,)`, in objective per constraint units."""
        problem = self._problem
        bounded = np.isfinite(limits)
        if not bounded.any():
            return np.zeros(len(limits))
        scaled = np.where(bounded, limits / problem.scales[1:], 0.0)
        best, tightest = np.zeros(len(limits)), np.inf
        for _ in range(_MAX_ROUNDS):
            prices, promised = self._propose(scaled, bounded)
            bound = float(self._evaluate(np.concatenate([[1.0], -prices])[None])[0] + prices @ scaled)
            if bound < tightest:
                best, tightest = prices, bound
            if tightest - promised < _PRECISE:
                break
        return np.asarray(best * problem.scales[0] / problem.scales[1:])

    def _propose(self, limits: Floats, bounded: Bools) -> tuple[Floats, float]:
        """Return the prices that minimise the largest piece found so far, and that minimum."""
        rows = np.column_stack([-np.ones(len(self._scores)), -(self._costs * bounded)])  # z + m . cost >= score
        answer = linprog(
            np.concatenate([[1.0], limits]),
            A_ub=rows,
            b_ub=-self._scores,
            bounds=[(None, None), *((0.0, _MAX_PRICE * used) for used in bounded)],
            method="highs",
        )
        return answer.x[1:], float(answer.fun)

    def _evaluate(self, weights: Floats) -> Floats:
        """Add the pieces of dimensionless weights `(R, Q)` and return the maxima `(R,)`."""
        problem = self._problem
        scaled = weights / problem.scales
        best = problem.chain.completions(scaled, problem.steps)
        found = problem.chain.argmax(scaled, problem.steps, best)
        scores, costs = problem.measure(found)
        self._found.append(found)
        self._scores = np.concatenate([self._scores, scores / problem.scales[0]])
        self._costs = np.concatenate([self._costs, costs / problem.scales[1:]])
        return np.asarray(best[0][:, 0])
