"""MACs and parameters, counted by running each operator once on the meta device.

Both add up exactly over blocks. MACs are half of what torch's `FlopCounterMode` counts: convolutions and matrix
products, without BN, activations and biases. No formula of any operator is written down here, so a user's operator
is counted like ours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archatlas.records import CostTable
from archatlas.spaces import Block, ChainSpace


def count(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
    """Count one module that lives on the meta device.

    Args:
        module: Any module of one tensor input.
        shape: Input shape `(B, C, H, W)`.

    Returns:
        MACs for one forward pass of this input, parameters, and the output shape.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = module.eval()(torch.empty(shape, device="meta"))
    params = sum(parameter.numel() for parameter in module.parameters())
    return counter.get_total_flops() // 2, params, tuple(output.shape)


def count_costs(space: ChainSpace) -> dict[str, CostTable]:
    """Return the tables `macs` (for one image) and `params` of a space at its resolution."""
    counted: dict[tuple[Block, tuple[int, ...]], list[tuple[int, int, tuple[int, ...]]]] = {}
    entries: list[np.ndarray] = []  # per block (O_i, 2): MACs, parameters
    with torch.device("meta"):
        shape: tuple[int, ...] = (1, space.in_channels, space.resolution, space.resolution)
        stem_macs, stem_params, shape = count(space.stem(space.in_channels), shape)
        for block in space.blocks:
            if (block, shape) not in counted:  # blocks of one stage repeat
                counted[block, shape] = [count(block.build(o), shape) for o in range(len(block.operators))]
            counts = counted[block, shape]
            entries.append(np.array([c[:2] for c in counts], dtype=float))
            shape = counts[0][2]
        head_macs, head_params, _ = count(space.head(space.num_classes), shape)
    fixed = {"macs": stem_macs + head_macs, "params": stem_params + head_params}
    return {
        name: CostTable(name=name, fixed=fixed[name], entries=tuple(entry[:, column] for entry in entries))
        for column, name in enumerate(("macs", "params"))
    }
