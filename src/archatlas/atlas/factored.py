"""The factored atlas: exact answers about every architecture of a space of any size.

The order of all architectures is a pair of sums over windows (`TwoStageTerms`), and so is every cost. What can be
asked is then a search along the chain (`treesearch.py`) or a count along it (`density.py`): the screen of the
two-stage order is one more constraint.

Legend: `A` architectures, `L` choice blocks, `T` targets (cost levels or bands).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from archatlas.atlas.base import (
    Answer,
    Axis,
    CostSummary,
    Density,
    Percentile,
    Scored,
    Subspace,
    check_costs,
    front,
    raise_infeasible,
)
from archatlas.atlas.counting import Counts, count, size
from archatlas.atlas.distribution import BAND, BAND_SHAPE, percentile, percentile_at_cost, summarise
from archatlas.atlas.networks import NETWORKS, enumerate_networks
from archatlas.atlas.problem import make_problem, negated
from archatlas.atlas.storage import read_graph, read_terms, write_header, write_terms
from archatlas.atlas.treesearch import WIDTH, Optimum, solve
from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.records import (
    Architecture,
    Architectures,
    Budget,
    Certificate,
    Floats,
    TwoStageTerms,
    WindowTerms,
    as_array,
    below_survivors,
)
from archatlas.spaces import SpaceGraph

KIND = "factored"
_FRONT_WIDTH = 1 << 14
MOST_COUNTED_SINGLY = 2_000_000
"""A percentile of a larger space is bounded by counts of bins instead."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FactoredAtlas:
    """See `Atlas` for what can be asked.

    Args:
        graph: A chain.
        order: The predictor's order.
        cost_terms: Each cost by name as a sum over windows (additive tables have radius 0).
    """

    graph: SpaceGraph
    order: TwoStageTerms
    cost_terms: Mapping[str, WindowTerms]

    def __post_init__(self) -> None:
        if not self.graph.is_chain:
            raise ConfigError(f"A factored atlas needs a chain; {self.graph.name} is none. Enumerate it instead.")
        for terms in (self.order.screen, self.order.rank, *self.cost_terms.values()):
            if terms.num_choices != self.graph.num_choices:
                raise ConfigError(
                    f"Expected terms for {self.graph.num_choices} operators per block, got {terms.num_choices}."
                )

    @property
    def size(self) -> int:
        """Number of distinct networks, an exact integer."""
        return size(self.graph)

    @property
    def cost_names(self) -> tuple[str, ...]:
        """The costs that budgets may name."""
        return tuple(self.cost_terms)

    def score(self, architectures: Architectures) -> Floats:
        """Return `(A,)`, the predictor's order of `(A, L)`; higher is better."""
        return self.order(self.graph.canonical(architectures))

    def costs(self, architectures: Architectures) -> dict[str, Floats]:
        """Return each cost `(A,)` of `(A, L)`."""
        canonical = self.graph.canonical(architectures)
        return {name: terms(canonical) for name, terms in self.cost_terms.items()}

    def top(self, k: int, budgets: Sequence[Budget] = (), within: Sequence[Subspace] | None = None) -> list[Scored]:
        """Return the `k` best networks; see `Atlas.top`. For the certificate of a long list see `ranking`."""
        return self.ranking(k, budgets, within)[0]

    def ranking(
        self,
        k: int,
        budgets: Sequence[Budget] = (),
        within: Sequence[Subspace] | None = None,
        *,
        max_width: int = WIDTH,
    ) -> tuple[list[Scored], float]:
        """Return what `top` returns, and a bound: no network left out scores more than this.

        The list is exact if the bound is not above its last score. That is the case unless the search would have
        had to keep more than `max_width` partial architectures at once.
        """
        check_costs([budget.cost for budget in budgets], self.cost_names)
        found, bound = [], -np.inf
        for allowed in _alternatives(within):
            architectures, upper = self._two_stage(k, budgets, allowed, max_width)
            found.append(architectures)
            bound = max(bound, upper)
        candidates = np.unique(np.concatenate(found), axis=0)
        if not len(candidates) and budgets:
            raise_infeasible(self, budgets, within)
        scores = self.order(candidates)
        chosen = np.argsort(-scores, kind="stable")
        left_out = float(scores[chosen[k]]) if len(chosen) > k else -np.inf
        best = [(tuple(map(int, candidates[i])), float(scores[i])) for i in chosen[:k]]
        return best, max(bound, left_out)

    def best(self, budgets: Sequence[Budget] = ()) -> Answer:
        """Return the best network within the budgets, with a certificate; see `Atlas.best`."""
        ((architecture, score),), upper = self.ranking(1, budgets)
        return self._describe(as_array([architecture]), np.array([score]), [upper - score])[0]

    def pareto(self, cost: str, levels: int = 512, budgets: Sequence[Budget] = ()) -> list[Answer]:
        """Return the front; see `Atlas.pareto`. Further budgets hold at every level."""
        check_costs([cost], self.cost_names)
        low = self.attainable(cost, budgets)
        if not np.isfinite(low):
            raise_infeasible(self, budgets, None)
        high = self._extreme(self.cost_terms[cost], budgets)
        limits = np.append(np.linspace(low, high, levels)[:-1], high)
        return front(self.at_levels(cost, limits, budgets), cost)

    def at_levels(self, cost: str, limits: Floats, budgets: Sequence[Budget] = ()) -> list[Answer]:
        """Return the best network with `cost <= limit` for each of `(T,)` limits; unattainable ones are left out."""
        check_costs([cost, *(budget.cost for budget in budgets)], self.cost_names)
        terms = self.cost_terms[cost]
        return self._targets(limits[:, None], [terms], budgets)

    def in_bands(self, cost: str, edges: Floats, budgets: Sequence[Budget] = ()) -> list[Answer]:
        """Return the best network of each cost band `edges[t] <= cost <= edges[t + 1]`; empty bands are left out."""
        check_costs([cost, *(budget.cost for budget in budgets)], self.cost_names)
        terms = self.cost_terms[cost]
        return self._targets(np.column_stack([edges[1:], -edges[:-1]]), [terms, negated(terms)], budgets)

    def diverse(self, k: int, distance: int, budgets: Sequence[Budget] = ()) -> list[Answer]:
        """Return `k` networks: the best, then each time the best that differs from all before in `distance` blocks.

        The Hamming distance to a given network adds up over blocks, so it is one more constraint.
        """
        answers = [self.best(budgets)]
        while len(answers) < k:
            apart = [_hamming(self.graph, answer.architecture) for answer in answers]
            found = self._targets(np.full((1, len(apart)), -float(distance)), apart, budgets)
            if not found:
                break
            answers += found
        return answers

    def attainable(self, cost: str, budgets: Sequence[Budget] = (), within: Sequence[Subspace] | None = None) -> float:
        """Return the smallest cost of any network within the budgets; infinity if there is none."""
        objective = negated(self.cost_terms[cost])
        return min(-self._extreme(objective, budgets, allowed) for allowed in _alternatives(within))

    def density(self, cost: str, score: str = "rank") -> Density:
        """Return how many networks there are of each cost and score; see `Density`.

        Args:
            cost: Name of a cost.
            score: `rank`, the score that orders the survivors of the screen, or `screen`; both of the whole space.
        """
        check_costs([cost], self.cost_names)
        axes, counts = _counted(self, (cost, score), BAND_SHAPE)
        return Density(cost=axes[0], score=axes[1], counts=counts)

    def percentile(self, architecture: Architecture, at_cost: str | None = None) -> Percentile:
        """Return which share is better; see `Atlas.percentile`. Exact up to `MOST_COUNTED_SINGLY` architectures.

        For larger spaces the bounds of `percentile_bounds`.
        """
        if math.prod(self.graph.num_choices) > MOST_COUNTED_SINGLY:
            return self.percentile_bounds(architecture, at_cost)
        one = as_array([architecture])
        scores, costs = _singly(self)
        better, band = scores > self.score(one), None
        if at_cost is not None:
            half, centre = self._band(at_cost), float(self.costs(one)[at_cost][0])
            band = (centre - half, centre + half)
            better = better[(costs[at_cost] >= band[0]) & (costs[at_cost] <= band[1])]
        return Percentile(lower=float(better.mean()), upper=float(better.mean()), band=band)

    def percentile_bounds(self, architecture: Architecture, at_cost: str | None = None) -> Percentile:
        """Return certain bounds on a percentile in a space of any size, as tight as the bins of the counts allow."""
        one = self.graph.canonical(as_array([architecture]))
        screen, rank = float(self.order.screen(one)[0]), float(self.order.rank(one)[0])
        counted = partial(_counted, self)
        if at_cost is None:
            return percentile(counted, self.order.threshold, screen, rank)
        half, cost = self._band(at_cost), float(self.cost_terms[at_cost](one)[0])
        return percentile_at_cost(counted, self.order.threshold, screen, rank, (at_cost, cost, half))

    def _band(self, cost: str) -> float:
        """Return how far the cost of networks "of about the same cost" may be off."""
        check_costs([cost], self.cost_names)
        return BAND * (self._extreme(self.cost_terms[cost], ()) - self.attainable(cost))

    def summaries(self) -> list[CostSummary]:
        """Return minimum, median and maximum of each cost over the networks of the space."""
        counted = partial(_counted, self)
        return [
            summarise(counted, name, self.attainable(name), self._extreme(terms, ()))
            for name, terms in self.cost_terms.items()
        ]

    def save(self, directory: Path) -> None:
        """Write safetensors and JSON; `load_atlas` reads them. A table of the networks of an older atlas goes."""
        (directory / NETWORKS).unlink(missing_ok=True)
        named = {"screen": self.order.screen, "rank": self.order.rank}
        described = write_terms(directory, named | {f"cost:{name}": terms for name, terms in self.cost_terms.items()})
        threshold = self.order.threshold if self._screened else None
        write_header(directory, KIND, self.graph, terms=described, threshold=threshold)

    def _extreme(self, objective: WindowTerms, budgets: Sequence[Budget], allowed: Subspace | None = None) -> float:
        """Return the largest value of an objective within the budgets; minus infinity if nothing is."""
        terms, limits = self._budget_rows(budgets, 1)
        (optimum,) = solve(make_problem(self.graph, objective, terms, limits, allowed))
        return float(optimum.scores[0]) if len(optimum.scores) else -np.inf

    def _budget_rows(self, budgets: Sequence[Budget], targets: int) -> tuple[list[WindowTerms], Floats]:
        """Return budgets as constraints and `(T, C)` limits."""
        limits = np.array([[budget.upper for budget in budgets]] * targets, dtype=float).reshape(targets, len(budgets))
        return [self.cost_terms[budget.cost] for budget in budgets], limits

    @property
    def _screened(self) -> bool:
        return bool(np.isfinite(self.order.threshold))

    def _two_stage(
        self, k: int, budgets: Sequence[Budget], allowed: Subspace | None, max_width: int
    ) -> tuple[Architectures, float]:
        """Return at least the `k` best architectures of a sub-space, and a bound on the score of all others.

        Survivors of the screen first. Where there are fewer than `k`, all of them are among the `k` best by screen.
        """
        terms, limits = self._budget_rows(budgets, 1)
        gate = ([negated(self.order.screen)], [[-self.order.threshold]]) if self._screened else ([], [[]])
        problem = make_problem(
            self.graph, self.order.rank, [*gate[0], *terms], np.column_stack([gate[1], limits]), allowed
        )
        (optimum,) = solve(problem, k, max_width=max_width)
        found, upper = _widen(optimum.architectures, allowed), optimum.upper
        if self._screened and len(found) < k:
            problem = make_problem(self.graph, self.order.screen, terms, limits, allowed)
            (optimum,) = solve(problem, k, max_width=max_width)
            found = np.concatenate([found, _widen(optimum.architectures, allowed)])
            below = below_survivors(np.array([optimum.upper]), self.order.rank, self.order.threshold)
            upper = max(upper, float(below[0]))
        return found, upper

    def _targets(self, limits: Floats, terms: Sequence[WindowTerms], budgets: Sequence[Budget]) -> list[Answer]:
        """Return the best network of each target `(T, C)`: of the survivors where there are any, else by screen."""
        budget_terms, budget_limits = self._budget_rows(budgets, len(limits))
        terms, limits = [*terms, *budget_terms], np.column_stack([limits, budget_limits])
        if not self._screened:
            found = solve(make_problem(self.graph, self.order.rank, terms, limits), max_width=_FRONT_WIDTH)
            return self._answers(found)
        gate, screen = self.order.threshold, make_problem(self.graph, self.order.screen, terms, limits)
        tested = solve(screen, enough=gate, max_width=_FRONT_WIDTH)
        # One that misses the gate by rounding alone may stand for an equal one that passes it.
        near = np.array([bool(len(o.scores)) and o.scores[0] >= gate - 4 * screen.slack[0] for o in tested])
        answers: list[Answer] = []
        below = ~near
        if near.any():
            screen_limits = np.column_stack([np.full(near.sum(), -gate), limits[near]])
            problem = make_problem(self.graph, self.order.rank, [negated(self.order.screen), *terms], screen_limits)
            seeds = np.concatenate([o.architectures for o, ok in zip(tested, near, strict=True) if ok])
            found = solve(problem, seeds=seeds, max_width=_FRONT_WIDTH)
            answers += self._answers(found)
            below[near] = [not len(o.scores) and o.upper == -np.inf for o in found]
        if below.any():
            found = solve(make_problem(self.graph, self.order.screen, terms, limits[below]), max_width=_FRONT_WIDTH)
            answers += self._answers(found)
        return answers

    def _answers(self, optima: Sequence[Optimum]) -> list[Answer]:
        """Return the answers of those targets that have one."""
        found = [optimum for optimum in optima if len(optimum.scores)]
        if not found:
            return []
        architectures = np.concatenate([optimum.architectures for optimum in found])
        lost = [optimum.upper - float(optimum.scores[0]) for optimum in found]
        return self._describe(architectures, self.order(architectures), lost)

    def _describe(self, architectures: Architectures, scores: Floats, gaps: Sequence[float]) -> list[Answer]:
        """Return canonical architectures `(A, L)` with their scores, costs and gaps `(A,)` as answers."""
        costs = {name: terms(architectures) for name, terms in self.cost_terms.items()}
        return [
            Answer(
                architecture=tuple(map(int, architecture)),
                score=float(score),
                costs={name: float(values[i]) for name, values in costs.items()},
                certificate=Certificate(lower=float(score), upper=float(score) + max(gap, 0.0)),
            )
            for i, (architecture, score, gap) in enumerate(zip(architectures, scores, gaps, strict=True))
        ]


@lru_cache(maxsize=16)
def _counted(atlas: FactoredAtlas, names: tuple[str, ...], shape: tuple[int, ...]) -> tuple[list[Axis], Counts]:
    """Count the networks of an atlas over some of its quantities, once."""
    known = {"rank": atlas.order.rank, "screen": atlas.order.screen, **atlas.cost_terms}
    axes, counts = count(atlas.graph, {name: known[name] for name in names}, shape)
    counts.flags.writeable = False
    return axes, counts


@lru_cache(maxsize=2)
def _singly(atlas: FactoredAtlas) -> tuple[Floats, dict[str, Floats]]:
    """Return score and costs, each `(A,)`, of every network of a small atlas."""
    networks = np.concatenate([architectures for _, architectures in enumerate_networks(atlas.graph)])
    return atlas.score(networks), atlas.costs(networks)


def _alternatives(within: Sequence[Subspace] | None) -> Sequence[Subspace | None]:
    return [None] if within is None else within


def _widen(architectures: Architectures, allowed: Subspace | None) -> Architectures:
    """Return architectures of a sub-space with the operator numbers of the whole space."""
    if allowed is None:
        return architectures
    columns = [np.asarray(operators)[column] for operators, column in zip(allowed, architectures.T, strict=True)]
    return np.stack(columns, axis=1).astype(np.uint8)


def _hamming(graph: SpaceGraph, architecture: Sequence[int]) -> WindowTerms:
    """Return minus the number of blocks that differ from an architecture."""
    terms = tuple(
        np.where(np.arange(count) == here, 0.0, -1.0)
        for count, here in zip(graph.num_choices, architecture, strict=True)
    )
    return WindowTerms(radius=0, terms=terms)


def tabulate(graph: SpaceGraph, terms: TwoStageTerms) -> FactoredAtlas:
    """Return the atlas of an order that was fitted on a chain; the costs of the graph become costs of the atlas."""
    costs = {name: cost.terms for name, cost in graph.costs.items()}
    return FactoredAtlas(graph=graph, order=terms, cost_terms=costs)


def load_factored(directory: Path, header: Mapping[str, Any]) -> FactoredAtlas:
    """Read what `FactoredAtlas.save` wrote; raises `ArtifactMismatchError` if it cannot."""
    graph = read_graph(header, directory)
    named = read_terms(directory, header.get("terms", {}), len(graph.num_choices))
    threshold = header.get("threshold")
    try:
        order = TwoStageTerms(
            screen=named.pop("screen"),
            rank=named.pop("rank"),
            threshold=-np.inf if threshold is None else float(threshold),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactMismatchError(f"{directory} is damaged ({error!r}); build the atlas again.") from None
    costs = {name.removeprefix("cost:"): terms for name, terms in named.items()}
    return FactoredAtlas(graph=graph, order=order, cost_terms=costs)
