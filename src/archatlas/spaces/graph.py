"""What a predictor sees of a space: a graph of nodes with operators to choose from, and numbers about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from archatlas.errors import InvalidArchitectureError
from archatlas.records import Architecture, Architectures, Cost, Floats, format_architecture, frozen
from archatlas.spaces.base import ChainSpace, move_no_ops_back


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpaceGraph:
    """The graph of a space. For a chain, node `i` is block `i` and every edge leads to the next block.

    Legend: `L` nodes, `O_i` operators of node `i`, `F` attributes.

    Args:
        name: Name of the space.
        num_choices: `O_i` of each node.
        edges: Directed edges `(from, to)` between nodes.
        stages: For each node a number that nodes of the same shape share (channels, stride, operators), so that
            a predictor can share strength between them.
        attribute_names: `F` names.
        attributes: Per node `(O_i, F)`: what is known of each operator there.
        no_ops: Per node `(O_i,)`: which operators do nothing.
        costs: By name; `macs` and `params`, which are additive, at least where they are known.
        operator_names: Per node `O_i` names to show; empty where none are known.
    """

    name: str
    num_choices: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    stages: tuple[int, ...]
    attribute_names: tuple[str, ...]
    attributes: tuple[Floats, ...]
    no_ops: tuple[tuple[bool, ...], ...]
    costs: Mapping[str, Cost]
    operator_names: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple(frozen(a) for a in self.attributes))

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits; a fitted predictor only answers for the graph that it was fitted on."""
        text = json.dumps([self.name, self.num_choices, self.edges, self.stages])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def is_chain(self) -> bool:
        """Whether the nodes form one chain."""
        return self.edges == tuple((i, i + 1) for i in range(len(self.num_choices) - 1))

    @property
    def interchangeable(self) -> tuple[bool, ...]:
        """Tell for each block of a chain but the last whether it may swap places with the next (same stage)."""
        if not self.is_chain:
            return (False,) * (len(self.num_choices) - 1)
        return tuple(a == b for a, b in zip(self.stages, self.stages[1:], strict=False))

    def operator_name(self, block: int, operator: int) -> str:
        """Return the name of an operator of a block, or its number where no names are known."""
        return self.operator_names[block][operator] if self.operator_names else f"operator {operator}"

    def validate(self, architecture: Architecture) -> None:
        """Refuse an architecture that the space does not hold; raises as `check_operators`."""
        check_operators(self.name, self.num_choices, architecture)

    def canonical(self, architectures: Architectures) -> Architectures:
        """Return the canonical form of `(A, L)`, as `ChainSpace.canonical` does."""
        return move_no_ops_back(architectures, self.no_ops, self.interchangeable)

    def prefix(self, length: int) -> SpaceGraph:
        """Return the graph of the first `length` nodes."""
        return SpaceGraph(
            name=f"{self.name}[:{length}]" if length < len(self.num_choices) else self.name,
            num_choices=self.num_choices[:length],
            edges=tuple(edge for edge in self.edges if max(edge) < length),
            stages=self.stages[:length],
            attribute_names=self.attribute_names,
            attributes=self.attributes[:length],
            no_ops=self.no_ops[:length],
            costs={name: table.prefix(length) for name, table in self.costs.items()},
            operator_names=self.operator_names[:length],
        )


def check_operators(name: str, num_choices: tuple[int, ...], architecture: Architecture) -> None:
    """Refuse an architecture of which nothing but the numbers of operators is known.

    Raises:
        InvalidArchitectureError: Says how many operators the blocks have.
    """
    if len(architecture) != len(num_choices) or any(o >= n for o, n in zip(architecture, num_choices, strict=True)):
        raise InvalidArchitectureError(
            f"{name} has {len(num_choices)} blocks with {', '.join(map(str, num_choices))} operators, numbered from 0; "
            f"got {format_architecture(architecture)}."
        )


def chain_graph(space: ChainSpace, costs: Mapping[str, Cost]) -> SpaceGraph:
    """Return the graph of a chain space.

    The attributes of an operator at a block are its own (kernel, expansion, ...), then input and output channels,
    stride, and whether it does nothing; a missing attribute of an operator counts as 0.
    """
    own = sorted({name for block in space.blocks for o in block.operators for name, _ in o.attributes})
    shapes = [(b.in_channels, b.out_channels, b.stride, tuple(o.name for o in b.operators)) for b in space.blocks]
    numbers = {shape: i for i, shape in enumerate(dict.fromkeys(shapes))}
    attributes = []
    for block, idle in zip(space.blocks, space.no_ops(), strict=True):
        geometry = [float(block.in_channels), float(block.out_channels), float(block.stride)]
        attributes.append(
            np.array(
                [
                    [dict(o.attributes).get(name, 0.0) for name in own] + geometry + [float(no_op)]
                    for o, no_op in zip(block.operators, idle, strict=True)
                ]
            )
        )
    return SpaceGraph(
        name=space.name,
        num_choices=space.num_choices,
        edges=tuple((i, i + 1) for i in range(len(space.blocks) - 1)),
        stages=tuple(numbers[shape] for shape in shapes),
        attribute_names=(*own, "in_channels", "out_channels", "stride", "no_op"),
        attributes=tuple(attributes),
        no_ops=space.no_ops(),
        costs=dict(costs),
        operator_names=tuple(tuple(o.name for o in block.operators) for block in space.blocks),
    )
