"""What the exact search maximises: a sum over the chain, subject to limits on other sums over the chain.

One problem may ask for several *targets* at once: the same objective and constraints with other limits, such as the
512 cost levels of a front.

Legend: `A` architectures, `L` blocks, `C` constraints, `T` targets, `Q = 1 + C` quantities (the objective first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from archatlas.atlas.chain import Chain, Steps, make_chain, make_steps, restrict
from archatlas.records import Architectures, Floats, WindowTerms
from archatlas.spaces import SpaceGraph

ROUNDING = 1e-9
"""Sums in another order differ by rounding; what is closer than this share of a quantity's range counts as equal."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Maximise `objective` subject to `constraints <= limits`, over the canonical architectures of a chain.

    Args:
        chain: The blocks to choose from.
        objective: The score.
        constraints: `C` sums.
        limits: `(T, C)`; infinity where a target does not limit a constraint.

    Derived: the `steps` of each quantity, their ranges `scales` `(Q,)`, what counts as equal, `slack` `(Q,)`, and
    whether any architecture is `feasible` at all (sub-spaces may hold no canonical one).
    """

    chain: Chain
    objective: WindowTerms
    constraints: tuple[WindowTerms, ...]
    limits: Floats
    steps: tuple[Steps, ...] = field(init=False)
    scales: Floats = field(init=False)
    slack: Floats = field(init=False)
    feasible: bool = field(init=False)

    def __post_init__(self) -> None:
        quantities = (self.objective, *self.constraints)
        object.__setattr__(self, "steps", tuple(make_steps(terms) for terms in quantities))
        signs = np.concatenate([np.eye(len(quantities)), -np.eye(len(quantities))])
        ends = self.chain.completions(signs, self.steps)[0][:, 0]
        object.__setattr__(self, "feasible", bool(np.isfinite(ends).all()))
        ranges = ends[: len(quantities)] + ends[len(quantities) :]
        object.__setattr__(self, "scales", np.where(np.isfinite(ranges) & (ranges > 0), ranges, 1.0))
        magnitude = np.array([sum(float(np.abs(s).max()) for s in steps) for steps in self.steps])
        object.__setattr__(self, "slack", ROUNDING * self.scales + 1e-14 * magnitude)

    def measure(self, architectures: Architectures) -> tuple[Floats, Floats]:
        """Return the objective `(A,)` and the constraints `(A, C)` of architectures, as users will compute them."""
        constrained = np.empty((len(architectures), len(self.constraints)))
        for column, terms in enumerate(self.constraints):
            constrained[:, column] = terms(architectures)
        return self.objective(architectures), constrained


def negated(terms: WindowTerms) -> WindowTerms:
    """Return the terms of minus the score, so that "at least" becomes "at most"; exact in floating point."""
    return WindowTerms(radius=terms.radius, terms=tuple(-term for term in terms.terms), offset=-terms.offset)


def make_problem(
    graph: SpaceGraph,
    objective: WindowTerms,
    constraints: Sequence[WindowTerms],
    limits: Floats,
    allowed: Sequence[Sequence[int]] | None = None,
) -> Problem:
    """Return the problem on a graph, or on the part of it that has the allowed operators only (renumbered)."""
    if allowed is not None:
        objective = restrict(objective, allowed)
        constraints = [restrict(terms, allowed) for terms in constraints]
    chain = make_chain(graph, [terms.radius for terms in (objective, *constraints)], allowed)
    return Problem(chain=chain, objective=objective, constraints=tuple(constraints), limits=np.atleast_2d(limits))
