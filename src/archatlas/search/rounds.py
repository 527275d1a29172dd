"""Measure in rounds and stop when another round would change nothing.

Each round is first predicted by the fit of the rounds before it, so it is held-out data exactly once; then it joins
the fit.

Legend: `n` measured samples, `L` blocks of the fitted graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from archatlas.predictors import FittedPredictor
from archatlas.predictors.metrics import kendall_tau, top_overlap
from archatlas.records import Architectures, Floats, as_array
from archatlas.search.config import SamplingConfig
from archatlas.search.problem import Problem
from archatlas.spaces import SpaceGraph

_PROBES = 2000
_TOP = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round told.

    Args:
        samples: Measured so far.
        heldout_tau: Kendall's tau between the fit before and the fresh scores; NaN in the first round.
        order_tau: Kendall's tau between the fits before and after, on the probe set; NaN in the first round.
        shortlist_overlap: Share of the probe set's best 5 % that both fits agree on; NaN in the first round.
    """

    samples: int
    heldout_tau: float
    order_tau: float
    shortlist_overlap: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sampled:
    """Measured samples and the fit to them."""

    architectures: Architectures
    scores: Floats
    fitted: FittedPredictor
    rounds: tuple[Round, ...]


def sample_in_rounds(
    problem: Problem,
    graph: SpaceGraph,
    draw: Callable[[int, np.random.Generator], Architectures],
    score: Callable[[Architectures], Floats],
    config: SamplingConfig,
) -> Sampled:
    """Measure and fit in rounds.

    Args:
        problem: Predictor, seed, log.
        graph: What is fitted: the space or its first blocks.
        draw: Draws `(n, L)` architectures of the graph; repeats are allowed and dropped.
        score: Measures `(n, L)`; `(n,)`, higher is better.
        config: Size, floor and ceiling of the samples, and when to stop.
    """
    rng = np.random.default_rng((problem.seed, len(graph.num_choices)))
    probes = graph.canonical(draw(_PROBES, rng))
    architectures = as_array(np.empty((0, len(graph.num_choices))))
    scores: Floats = np.empty(0)
    fitted: FittedPredictor | None = None
    rounds: list[Round] = []
    while True:
        fresh = _fresh(graph, draw, architectures, min(config.round_size, config.ceiling - len(scores)), rng)
        if len(fresh) == 0:
            problem.log(f"All {len(scores):,} distinct networks that the design reaches are measured.")
            break
        fresh_scores = score(fresh)
        before = fitted
        architectures, scores = np.concatenate([architectures, fresh]), np.concatenate([scores, fresh_scores])
        fitted = problem.fit(graph, architectures, scores)
        rounds.append(_compare(before, fitted, fresh, fresh_scores, probes, len(scores)))
        problem.log(_line(rounds[-1]))
        if len(scores) >= config.ceiling or (len(scores) >= config.floor and _settled(rounds, config)):
            break
    assert fitted is not None
    return Sampled(architectures=architectures, scores=scores, fitted=fitted, rounds=tuple(rounds))


def _fresh(
    graph: SpaceGraph,
    draw: Callable[[int, np.random.Generator], Architectures],
    seen: Architectures,
    count: int,
    rng: np.random.Generator,
) -> Architectures:
    """Return up to `count` canonical architectures not seen before; fewer only if many draws bring nothing new."""
    known = {row.tobytes() for row in seen}
    fresh: list[np.ndarray] = []
    for _ in range(50):
        for row in graph.canonical(draw(count, rng)):
            if row.tobytes() not in known and len(fresh) < count:
                known.add(row.tobytes())
                fresh.append(row)
        if len(fresh) == count:
            break
    return as_array(fresh).reshape(-1, seen.shape[1])


def _compare(
    before: FittedPredictor | None,
    after: FittedPredictor,
    fresh: Architectures,
    fresh_scores: Floats,
    probes: Architectures,
    samples: int,
) -> Round:
    if before is None:
        return Round(samples=samples, heldout_tau=np.nan, order_tau=np.nan, shortlist_overlap=np.nan)
    old, new = before.rank(probes), after.rank(probes)
    return Round(
        samples=samples,
        heldout_tau=kendall_tau(before.predict(fresh).mean, fresh_scores),
        order_tau=kendall_tau(old, new),
        shortlist_overlap=top_overlap(old, new, _TOP),
    )


def _settled(rounds: list[Round], config: SamplingConfig) -> bool:
    """Whether the last round moved neither the order, nor its top, nor the held-out agreement."""
    last = rounds[-1]
    change = abs(last.heldout_tau - rounds[-2].heldout_tau) if len(rounds) > 2 else 0.0
    return (
        len(rounds) > 1
        and last.order_tau >= config.order_tau
        and last.shortlist_overlap >= config.shortlist_overlap
        and change <= config.heldout_change
    )


def _line(last: Round) -> str:
    if np.isnan(last.order_tau):
        return f"{last.samples} samples: first fit"
    return (
        f"{last.samples} samples: held-out tau {last.heldout_tau:.3f} (to measured scores), order against the fit "
        f"before {last.order_tau:.3f}, short-list overlap {last.shortlist_overlap:.2f}"
    )
