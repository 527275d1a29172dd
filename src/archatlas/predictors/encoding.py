"""How networks see a space: one feature vector per operator and node.

Operator and position are embedded by the network itself; what is known of the operator at that node (kernel,
log MACs and params, ...) is described by how it differs from the other operators there, so that positions share
strength.

Legend: `L` nodes, `O` operators of the largest node, `F` attributes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from archatlas.records import Architectures, Floats
from archatlas.spaces import SpaceGraph


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoding:
    """A space as tensors.

    Args:
        num_choices: `O_i` of each node.
        stages: Number of the stage of each node.
        attributes: `(L, O, F)`; how each operator differs from the mean of its node, scaled; 0 beyond `O_i`.
        adjacency: `(L, L)`, `adjacency[j, i] = 1` for an edge from `i` to `j`: row `j` sums what comes into `j`.
    """

    num_choices: tuple[int, ...]
    stages: tuple[int, ...]
    attributes: torch.Tensor
    adjacency: torch.Tensor

    @property
    def num_operators(self) -> int:
        """Number of operators of the largest node."""
        return max(self.num_choices)

    def rows(self, architectures: Architectures) -> torch.Tensor:
        """Return `(A, L)` row numbers into tables of `L * O` rows."""
        return torch.from_numpy(architectures.astype(np.int64)) + torch.arange(len(self.num_choices)) * (
            self.num_operators
        )


def encode(graph: SpaceGraph, *, as_chain: bool = False) -> Encoding:
    """Encode a space.

    Args:
        graph: The space.
        as_chain: Join each node to the next, whatever the edges of the graph.
    """
    length, operators = len(graph.num_choices), max(graph.num_choices)
    deviations = [known - known.mean(axis=0) for known in (_known(graph, i) for i in range(length))]
    spread = np.sqrt(np.mean([np.mean(d**2, axis=0) for d in deviations], axis=0))
    useful = spread > 1e-9
    padded = np.zeros((length, operators, int(useful.sum())))
    for i, deviation in enumerate(deviations):
        padded[i, : len(deviation)] = deviation[:, useful] / spread[useful]
    edges = tuple((i, i + 1) for i in range(length - 1)) if as_chain else graph.edges
    adjacency = torch.zeros(length, length)
    for i, j in edges:
        adjacency[j, i] = 1.0
    return Encoding(
        num_choices=graph.num_choices,
        stages=graph.stages,
        attributes=torch.from_numpy(padded).float(),
        adjacency=adjacency,
    )


def _known(graph: SpaceGraph, node: int) -> Floats:
    known = [graph.costs[name] for name in ("macs", "params") if name in graph.costs]  # not what a device measured
    costs = [np.log1p(cost.terms.terms[node])[:, None] for cost in known]
    return np.concatenate([graph.attributes[node], *costs], axis=1)
