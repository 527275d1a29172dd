"""Main effects with shared strength, and the capacity prior: the smooth part of every predictor's order.

The error of a one-shot score is systematic: it does not average out over samples, so what a single block seems to
prefer is partly error however many samples there are. Each effect is therefore a sum of an effect that all blocks of
a stage share and a deviation of its own, with a Gaussian prior on both whose precision grows with the number of
samples. This is the posterior mean of a Bayesian linear model, hence additive over blocks.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from archatlas.records import Architectures, Cost, Floats, WindowTerms
from archatlas.spaces import SpaceGraph


def one_hot(num_choices: tuple[int, ...], architectures: Architectures) -> Floats:
    """Return `(A, sum_i O_i)` indicators of the operators of architectures `(A, L)`."""
    offsets = np.concatenate([[0], np.cumsum(num_choices)[:-1]])
    result = np.zeros((len(architectures), sum(num_choices)))
    np.put_along_axis(result, architectures.astype(np.intp) + offsets, 1.0, axis=1)
    return result


def sharing(graph: SpaceGraph) -> tuple[Floats, Floats, Floats]:
    """Return which of the `D = sum_i O_i` effects share: `(D, G)` indicators, times a weight of each group their sum.

    First by operator index over all blocks, then by operator index within a stage, then each effect on its own.
    """
    operator = np.concatenate([np.arange(count) for count in graph.num_choices])
    stage = np.repeat(graph.stages, graph.num_choices)
    shared = np.eye(operator.max() + 1)[operator]
    staged = np.unique(np.stack([stage, operator], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    return shared, np.eye(staged.max() + 1)[staged], np.eye(len(operator))


def prior_covariance(graph: SpaceGraph, *, operator_std: float, stage_std: float, block_std: float) -> Floats:
    """Return the prior covariance `(D, D)` of the `D = sum_i O_i` effects.

    Two effects of the same operator index share `operator_std^2`, in the same stage `stage_std^2` as well, and each
    has `block_std^2` of its own.
    """
    stds = (operator_std, stage_std, block_std)
    total = sum(std**2 * group @ group.T for std, group in zip(stds, sharing(graph), strict=True))
    return np.asarray(total)


def fit_effects(
    graph: SpaceGraph, architectures: Architectures, targets: Floats, covariance: Floats, *, noise_variance: float
) -> WindowTerms:
    """Return the posterior mean of the main effects.

    With indicators `X` (A, D), centred, covariance `C` and noise variance `s`: `C X^T (X C X^T + s I)^-1 y`,
    computed as `C (X^T X C + s I)^-1 X^T y`, which costs `D^3`, not `A^3`.

    Args:
        graph: The space.
        architectures: `(A, L)`.
        targets: `(A,)` normal scores.
        covariance: `(D, D)` of the prior.
        noise_variance: Of one target.
    """
    indicators = one_hot(graph.num_choices, architectures)
    mean = indicators.mean(axis=0)
    centred = indicators - mean
    gram = centred.T @ centred
    right = centred.T @ (targets - targets.mean())
    weights = covariance @ scipy.linalg.solve(gram @ covariance + noise_variance * np.eye(len(gram)), right)
    entries = np.split(weights, np.cumsum(graph.num_choices)[:-1])
    return WindowTerms(radius=0, terms=tuple(entries), offset=float(targets.mean() - mean @ weights))


def capacity(graph: SpaceGraph) -> WindowTerms:
    """Return the capacity of an architecture, additive over blocks, with mean 0 and variance 1 over the space.

    A block's capacity is the square root of its operator's MACs, standardised within the block: relative to what
    the block can have, with diminishing returns. All 0 where the graph has no MACs.
    """
    table = graph.costs.get("macs")
    roots = _roots(graph, table)
    centred = [root - root.mean() for root in roots]
    scaled = [root / root.std() if root.std() > 0 else root for root in centred]
    spread = float(np.sqrt(sum(float(np.var(entry)) for entry in scaled)))
    return WindowTerms(radius=0, terms=tuple(entry / max(spread, 1e-12) for entry in scaled))


def _roots(graph: SpaceGraph, table: Cost | None) -> list[Floats]:
    if table is None:
        return [np.zeros(count) for count in graph.num_choices]
    return [np.sqrt(entry) for entry in table.terms.terms]


def add(*parts: tuple[float, WindowTerms]) -> WindowTerms:
    """Return the weighted sum of window terms as window terms of the largest radius."""
    radius = max(terms.radius for _, terms in parts)
    widened = [(weight, widen(terms, radius)) for weight, terms in parts]
    return WindowTerms(
        radius=radius,
        terms=tuple(
            np.asarray(sum(weight * terms.terms[i] for weight, terms in widened))
            for i in range(len(widened[0][1].terms))
        ),
        offset=sum(weight * terms.offset for weight, terms in widened),
    )


def widen(terms: WindowTerms, radius: int) -> WindowTerms:
    """Return the same function with windows of a larger radius."""
    counts, length = terms.num_choices, len(terms.terms)
    wide = []
    for i, term in enumerate(terms.terms):
        low, high = max(0, i - radius), min(length - 1, i + radius)
        inner = range(max(0, i - terms.radius), min(length - 1, i + terms.radius) + 1)
        shape = [counts[j] if j in inner else 1 for j in range(low, high + 1)]
        wide.append(np.broadcast_to(term.reshape(shape), counts[low : high + 1]))
    return WindowTerms(radius=radius, terms=tuple(wide), offset=terms.offset)


def soften(terms: WindowTerms, strength: float) -> WindowTerms:
    """Weaken the interactions of window terms: main effects stay, the rest is multiplied by `strength`.

    Main effects are taken under the uniform distribution: the mean over all other operators of a window.
    """
    if strength == 1:
        return terms
    counts, length = terms.num_choices, len(terms.terms)
    main = [np.zeros(count) for count in counts]
    offset = terms.offset
    for i, term in enumerate(terms.terms):
        offset += float(term.mean())
        for axis, j in enumerate(range(max(0, i - terms.radius), min(length - 1, i + terms.radius) + 1)):
            others = tuple(other for other in range(term.ndim) if other != axis)
            main[j] += term.mean(axis=others) - term.mean()
    additive = WindowTerms(radius=0, terms=tuple(main), offset=offset)
    return add((strength, terms), (1.0 - strength, additive))
