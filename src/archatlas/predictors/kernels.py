"""Covariances between architectures: shared main effects plus products of operator similarities.

Two operators of a node are similar as far as their attributes are (kernel, expansion, log MACs, whether they do
nothing, ...); what is not known of them makes any two different operators equally dissimilar. The similarity of two
stretches of a chain is the product over their nodes: one kernel for all orders of interaction within the stretch,
each node more in common counting by the same factor.

Legend: `A` architectures, `N` samples, `L` nodes, `O_i` operators of node `i`.
"""

from __future__ import annotations

import math

import numpy as np

from archatlas.predictors.effects import add, one_hot
from archatlas.predictors.encoding import encode
from archatlas.predictors.order import flexible_prior_root
from archatlas.records import Architectures, Floats, WindowTerms
from archatlas.spaces import SpaceGraph

FLOOR = 0.6
"""Similarity of two operators that have nothing in common; what is left of a product when one node differs."""

OWN = 0.1
"""Share of the rest that only the same operator has; the others share by attributes."""


def similarities(graph: SpaceGraph) -> tuple[Floats, ...]:
    """Return for each node the similarity `(O_i, O_i)` of its operators: 1 on the diagonal, at least `FLOOR`."""
    encoding = encode(graph)
    result = []
    for count, attributes in zip(graph.num_choices, encoding.attributes.double().numpy(), strict=True):
        same = np.eye(count)
        known = attributes[:count]
        if known.shape[1]:
            distance = np.square(known[:, None] - known[None]).mean(axis=2)
            close = np.exp(-0.5 * distance)
            result.append(FLOOR + (1 - FLOOR) * (OWN * same + (1 - OWN) * close))
        else:
            result.append(FLOOR + (1 - FLOOR) * same)
    return tuple(result)


def main_covariance(graph: SpaceGraph, left: Architectures, right: Architectures) -> Floats:
    """Return the covariance `(A, N)` of main effects, of variance about 1."""
    root = flexible_prior_root(graph)
    features = one_hot(graph.num_choices, left) @ root, one_hot(graph.num_choices, right) @ root
    return np.asarray(features[0] @ features[1].T) / len(graph.num_choices)


def main_variance(graph: SpaceGraph, architectures: Architectures) -> Floats:
    """Return the diagonal `(A,)` of `main_covariance`."""
    features = one_hot(graph.num_choices, architectures) @ flexible_prior_root(graph)
    return np.asarray(np.square(features).sum(axis=1)) / len(graph.num_choices)


def window_covariance(similar: tuple[Floats, ...], left: Architectures, right: Architectures, radius: int) -> Floats:
    """Return the covariance `(A, N)` of a sum over nodes of window interactions, of variance 1.

    A radius of the length of the chain makes it one product over all nodes.
    """
    length = len(similar)
    logs = [np.log(s)[np.ix_(a, b)] for s, a, b in zip(similar, left.T, right.T, strict=True)]
    spans = windows(length, radius)
    total = np.zeros((len(left), len(right)))
    for low, high in set(spans):
        total += spans.count((low, high)) * np.exp(sum(logs[low:high]))
    return total / length


def windows(length: int, radius: int) -> list[tuple[int, int]]:
    """Return for each node the half-open range of the nodes of its window."""
    return [(max(0, i - radius), min(length, i + radius + 1)) for i in range(length)]


def window_term(similar: tuple[Floats, ...], samples: Architectures, weights: Floats, span: tuple[int, int]) -> Floats:
    """Return `sum_n weights[n] * similarity(window, window of sample n)` for every window of a span.

    The window is cut in two; the products of either half meet in one matrix product.

    Args:
        similar: Of each node.
        samples: `(N, L)`.
        weights: `(N,)`.
        span: Half-open range of nodes.

    Returns:
        One axis per node of the span.
    """
    low, high = span
    middle = (low + high) // 2
    left = _products(similar, samples, low, middle)
    right = _products(similar, samples, middle, high)
    shape = [len(s) for s in similar[low:high]]
    return np.asarray(((left * weights) @ right.T).reshape(shape))


def process_terms(
    graph: SpaceGraph, samples: Architectures, weights: Floats, *, main: float, interaction: float, radius: int
) -> WindowTerms:
    """Return `sum_n weights[n] (main * M(a, n) + interaction * W(a, n))` for samples `(N, L)` as window terms.

    `M` is `main_covariance`, `W` is `window_covariance`.
    """
    similar, length, root = similarities(graph), len(graph.num_choices), flexible_prior_root(graph)
    scaled = interaction / length * weights
    terms = tuple(window_term(similar, samples, scaled, span) for span in windows(length, radius))
    effects = main / length * (root @ (root.T @ (one_hot(graph.num_choices, samples).T @ weights)))
    entries = tuple(np.split(effects, np.cumsum(graph.num_choices)[:-1]))
    return add((1.0, WindowTerms(radius=radius, terms=terms)), (1.0, WindowTerms(radius=0, terms=entries)))


def _products(similar: tuple[Floats, ...], samples: Architectures, low: int, high: int) -> Floats:
    """Return `(combinations, N)`, similarities of all combinations of the nodes `low` to `high` to each sample."""
    rows = np.ones((1, len(samples)))
    for i in range(low, high):
        node = similar[i][:, samples[:, i]]  # (O_i, N)
        rows = (rows[:, None] * node[None]).reshape(math.prod((len(rows), len(node))), -1)
    return rows
