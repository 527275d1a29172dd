"""A cost that is learnt from whole networks, such as the latency of a device whose parts nobody has timed.

The same model as `WindowGCN`, fitted to the values themselves instead of normal scores. Its result is a sum over
windows in the unit of the values, so the exact atlas can carry it as one more cost.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archatlas.predictors.effects import add
from archatlas.predictors.encoding import encode
from archatlas.predictors.ensemble import TrainingConfig, fit_ensemble
from archatlas.predictors.network import WindowNetwork
from archatlas.predictors.tabulate import check_size, tabulate
from archatlas.predictors.targets import check_samples
from archatlas.records import Architectures, Floats, WindowTerms
from archatlas.spaces import SpaceGraph


def learn_cost(
    graph: SpaceGraph, architectures: Architectures, values: Floats, *, seed: int, radius: int = 1, hidden: int = 96
) -> WindowTerms:
    """Fit a cost to whole networks.

    Args:
        graph: The space.
        architectures: `(A, L)` measured networks.
        values: `(A,)` what they cost, in any unit.
        seed: Of the networks' weights.
        radius: How far the interactions of blocks reach.
        hidden: Features of a node.

    Returns:
        Window terms whose sum is the predicted cost, in the unit of `values`.

    Raises:
        DataError: If the samples cannot be fitted.
    """
    check_samples(graph.num_choices, architectures, values)
    check_size(graph.num_choices, radius)
    mean, spread = float(values.mean()), float(values.std())
    encoding = encode(graph, as_chain=True)
    build = partial(WindowNetwork, encoding, hidden=hidden, layers=radius)
    targets = (values - mean) / spread
    networks = fit_ensemble(build, graph, encoding, architectures, targets, TrainingConfig(), seed=seed)
    members = []
    for network in networks:
        assert isinstance(network, WindowNetwork)
        members.append((spread / len(networks), tabulate(network, graph.num_choices)))
    constant = WindowTerms(radius=0, terms=tuple(np.zeros(count) for count in graph.num_choices), offset=mean)
    return add(*members, (1.0, constant))
