"""A window network as a table: the term of every window, computed layer by layer.

After `k` layers the state of a node depends on the operators of `2k + 1` nodes. The table of these states is built
from the tables of its neighbours one layer below by broadcasting, so no window is ever run through the whole network.

Legend: `H` hidden features; the state table of node `i` has one axis per node of its window, then `H`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from archatlas.errors import ConfigError
from archatlas.predictors.network import ChainLayer, WindowNetwork
from archatlas.records import WindowTerms

MAX_ENTRIES = 20_000_000
"""Largest number of window entries that is tabulated, all nodes together."""


def check_size(num_choices: tuple[int, ...], radius: int) -> None:
    """Refuse windows that are too many to tabulate.

    Raises:
        ConfigError: With the number of entries and the setting to lower.
    """
    entries = sum(math.prod(num_choices[max(0, i - radius) : i + radius + 1]) for i in range(len(num_choices)))
    if entries > MAX_ENTRIES:
        raise ConfigError(
            f"Windows of {2 * radius + 1} blocks have {entries:,} entries here, more than {MAX_ENTRIES:,}. "
            f"Set fewer predictor layers."
        )


@torch.no_grad()
def tabulate(network: WindowNetwork, num_choices: tuple[int, ...]) -> WindowTerms:
    """Return the terms of a network whose graph is the chain; equal to its forward pass to rounding."""
    operators = max(num_choices)
    table = network.inputs()
    states = [table[i * operators : i * operators + count] for i, count in enumerate(num_choices)]
    for radius, layer in enumerate(network.layers):
        assert isinstance(layer, ChainLayer)
        states = [_next_state(layer, states, i, radius) for i in range(len(states))]
    radius, length = len(network.layers), len(states)
    terms = []
    for i, state in enumerate(states):
        effects = network.effects[i * operators : i * operators + num_choices[i]]
        inner = range(max(0, i - radius), min(length - 1, i + radius) + 1)
        term = torch.tanh(state) @ network.readout + effects.reshape([-1 if j == i else 1 for j in inner])
        terms.append(term.numpy().astype(np.float64))
    return WindowTerms(radius=radius, terms=tuple(terms), offset=float(network.offset))


def _next_state(layer: ChainLayer, states: list[torch.Tensor], node: int, radius: int) -> torch.Tensor:
    """Return the state table of a node one layer up; its window grows from `radius` to `radius + 1`."""
    last = len(states) - 1
    active = torch.tanh(states[node])
    own = layer.along.lin_root(active) + layer.against.lin_root(active)
    state = _fit(own + layer.along.lin_rel.bias + layer.against.lin_rel.bias, node, node, radius, last)
    if node > 0:
        along = nn.functional.linear(torch.tanh(states[node - 1]), layer.along.lin_rel.weight)
        state = state + _fit(along, node - 1, node, radius, last)
    if node < last:
        against = nn.functional.linear(torch.tanh(states[node + 1]), layer.against.lin_rel.weight)
        state = state + _fit(against, node + 1, node, radius, last)
    return state


def _fit(table: torch.Tensor, centre: int, node: int, radius: int, last: int) -> torch.Tensor:
    """Give a table of `centre`'s window the axes of the next window of `node`, of length 1 where it has none."""
    inner = range(max(0, centre - radius), min(last, centre + radius) + 1)
    outer = range(max(0, node - radius - 1), min(last, node + radius + 1) + 1)
    lengths = iter(table.shape)
    return table.reshape([next(lengths) if i in inner else 1 for i in outer] + [table.shape[-1]])
