"""Monotone links as tables, so that a fitted predictor needs no network.

Legend: `A` architectures, `P` points.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from archatlas.records import Floats


@torch.no_grad()
def link_table(link: nn.Module, *, reach: float = 8.0, points: int = 401) -> Floats:
    """Tabulate a monotone link: `(2, P)`, sums from `-reach` to `reach` and what they become."""
    sums = torch.linspace(-reach, reach, points)
    return np.stack([sums.numpy(), link(sums).numpy()]).astype(np.float64)


def identity_link() -> Floats:
    """Return the link `(1, 2, P)` of a single member whose score is already on the scale of the targets."""
    sums = np.linspace(-8.0, 8.0, 2)
    return np.stack([sums, sums])[None]


def linked(table: Floats, sums: Floats) -> Floats:
    """Apply a tabulated link to sums `(A,)`; beyond the table it goes on with the slope of its ends."""
    inner = np.interp(sums, table[0], table[1])
    slopes = np.diff(table[1])[[0, -1]] / np.diff(table[0])[[0, -1]]
    below, above = np.minimum(sums - table[0, 0], 0.0), np.maximum(sums - table[0, -1], 0.0)
    return np.asarray(inner + slopes[0] * below + slopes[1] * above)
