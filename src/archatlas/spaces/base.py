"""The contract of a search space: a chain of choice blocks between a fixed stem and a fixed head.

A space is data. It owns everything that is known of its architectures: how many there are, which are legal, which
are the same network, how they are numbered and how they are built. Nothing else in the package asks for a space
by name.

Legend: `L` choice blocks, `O_i` operators of block `i`, `A` architectures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from timm.layers import DropPath  # type: ignore[attr-defined]
from torch import nn

from archatlas.errors import InvalidArchitectureError
from archatlas.records import Architecture, Architectures, as_array, format_architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A named builder of modules. Within a space, one name means one builder.

    Args:
        name: Shown to users and recorded in artifacts.
        build: `(in_channels, out_channels, stride) -> nn.Module`.
        attributes: What a predictor may know of it, such as `("kernel", 3.0)`; the same names for all operators
            of a space.
    """

    name: str
    build: Callable[[int, int, int], nn.Module]
    attributes: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A choice block: a position in the chain that takes one of several operators."""

    in_channels: int
    out_channels: int
    stride: int
    operators: tuple[Operator, ...]

    def build(self, operator: int) -> nn.Module:
        """Return a freshly initialised module of one operator."""
        return self.operators[operator].build(self.in_channels, self.out_channels, self.stride)


class ChainNetwork(nn.Module):
    """A stand-alone network: stem, one module per block, head.

    Input `(B, C, H, W)` of normalised images; output `(B, classes)` logits.
    """

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = stem, nn.Sequential(*blocks), head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits `(B, classes)`."""
        logits: torch.Tensor = self.head(self.blocks(self.stem(images)))
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSpace:
    """A space of chain networks.

    Args:
        name: Recorded in every artifact.
        resolution: Height and width of the images, in pixels.
        in_channels: Channels of the images.
        num_classes: Classes of the task.
        stem: `(in_channels) -> nn.Module`.
        head: `(num_classes) -> nn.Module`, from feature maps to logits.
        blocks: The choice blocks in order.
        segments: How `search.mode: segments` cuts the chain by default; lengths that add up to `L`.
        source: Stands for the code of a user's space, so that what was made with other code is made anew; empty for a
            built-in space.
    """

    name: str
    resolution: int
    in_channels: int
    num_classes: int
    stem: Callable[[int], nn.Module]
    head: Callable[[int], nn.Module]
    blocks: tuple[Block, ...]
    segments: tuple[int, ...]
    source: str = ""

    def __post_init__(self) -> None:
        if sum(self.segments) != len(self.blocks) or min(self.segments, default=0) < 1:
            raise ValueError(f"segments {self.segments} must be positive and add up to {len(self.blocks)}.")

    def for_task(self, *, in_channels: int, num_classes: int, resolution: int) -> ChainSpace:
        """Return the same space for other images."""
        return dataclasses.replace(self, in_channels=in_channels, num_classes=num_classes, resolution=resolution)

    @property
    def num_choices(self) -> tuple[int, ...]:
        """Number of operators of each block."""
        return tuple(len(block.operators) for block in self.blocks)

    @property
    def size(self) -> int:
        """Number of architectures, an exact integer of any length."""
        size = 1
        for count in self.num_choices:
            size *= count
        return size

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name the space and its task."""
        blocks = [
            [block.in_channels, block.out_channels, block.stride, [o.name for o in block.operators]]
            for block in self.blocks
        ]
        parts = [self.name, self.resolution, self.in_channels, self.num_classes, blocks]
        text = json.dumps(parts + [self.source] * bool(self.source))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def validate(self, architecture: Architecture) -> None:
        """Refuse an architecture that the space does not hold.

        Raises:
            InvalidArchitectureError: Names the block, the value and the legal values.
        """
        if len(architecture) != len(self.blocks):
            raise InvalidArchitectureError(
                f"{self.name} has {len(self.blocks)} blocks, so an architecture has as many operators; "
                f"{format_architecture(architecture)} has {len(architecture)}."
            )
        for i, (value, block) in enumerate(zip(architecture, self.blocks, strict=True)):
            if not 0 <= value < len(block.operators):
                names = ", ".join(f"{j} = {o.name}" for j, o in enumerate(block.operators))
                raise InvalidArchitectureError(
                    f"Block {i} of {self.name} takes one of: {names}; {format_architecture(architecture)} "
                    f"has {value} there."
                )

    def index(self, architecture: Architecture) -> int:
        """Return the number of an architecture, block 0 most significant; inverse of `architecture`."""
        number = 0
        for value, count in zip(architecture, self.num_choices, strict=True):
            number = number * count + int(value)
        return number

    def architecture(self, index: int) -> Architecture:
        """Return architecture number `index`, `0 <= index < size`."""
        digits = []
        for count in reversed(self.num_choices):
            index, digit = divmod(index, count)
            digits.append(digit)
        return tuple(reversed(digits))

    def all_architectures(self) -> Architectures:
        """Return the whole space `(size, L)`, row `i` is `architecture(i)`. Only for small spaces."""
        return as_array(np.indices(self.num_choices, dtype=np.uint8).reshape(len(self.blocks), -1).T)

    def sample(self, count: int, rng: np.random.Generator) -> Architectures:
        """Draw `count` architectures uniformly, repeats possible, `(count, L)`."""
        return as_array(rng.integers(0, self.num_choices, size=(count, len(self.blocks))))

    def no_ops(self) -> tuple[tuple[bool, ...], ...]:
        """Tell for each block which of its operators do nothing (build an `nn.Identity`)."""
        return _no_ops(self.blocks)

    def interchangeable(self) -> tuple[bool, ...]:
        """Tell for each block but the last whether it may swap places with the next without changing a network.

        That is the case of neighbours with the same operators and the same shapes: a no-op in front of an
        operator is then the same function as the operator in front of the no-op.
        """
        return tuple(_shape(a) == _shape(b) for a, b in zip(self.blocks, self.blocks[1:], strict=False))

    def canonical(self, architectures: Architectures) -> Architectures:
        """Return for each of `(A, L)` the one architecture that stands for all that are the same network.

        Within a run of interchangeable blocks the no-ops move to the end and the rest keeps its order.
        """
        return move_no_ops_back(architectures, self.no_ops(), self.interchangeable())

    def is_canonical(self, architectures: Architectures) -> np.ndarray:
        """Tell for each of `(A, L)` whether it stands for itself."""
        return np.asarray((self.canonical(architectures) == architectures).all(axis=1))

    def build(self, architecture: Architecture, *, drop_path: float = 0.0) -> ChainNetwork:
        """Return a freshly initialised stand-alone network.

        Args:
            architecture: One operator per block.
            drop_path: Stochastic depth (Huang et al. 2016): how often training leaves out the residual branch of the
                last block; it grows linearly from 0 at the first. Operators take part by a `timm.layers.DropPath` in
                their branch. It has no weights and does nothing in evaluation mode.

        Raises:
            InvalidArchitectureError: If the space does not hold the architecture.
        """
        self.validate(architecture)
        blocks = [block.build(value) for block, value in zip(self.blocks, architecture, strict=True)]
        for block, rate in zip(blocks, np.linspace(0.0, drop_path, len(blocks)), strict=True):
            for module in block.modules():
                if isinstance(module, DropPath):
                    module.drop_prob = float(rate)
        return ChainNetwork(self.stem(self.in_channels), blocks, self.head(self.num_classes))


def move_no_ops_back(
    architectures: Architectures, no_ops: Sequence[Sequence[bool]], interchangeable: Sequence[bool]
) -> Architectures:
    """Move no-ops to the end of their run of interchangeable blocks; the rest keeps its order.

    Args:
        architectures: `(A, L)`.
        no_ops: Per block `(O_i,)`: which operators do nothing.
        interchangeable: For each block but the last: whether it may swap places with the next.
    """
    result = np.array(architectures, dtype=np.uint8)
    pairs = [i for i, same in enumerate(interchangeable) if same and any(no_ops[i])]
    for _ in pairs:
        for i in pairs:
            flags = np.array(no_ops[i])
            swap = flags[result[:, i]] & ~flags[result[:, i + 1]]
            result[np.ix_(swap, [i, i + 1])] = result[np.ix_(swap, [i + 1, i])]
    return result


def _shape(block: Block) -> tuple[object, ...]:
    names = tuple(operator.name for operator in block.operators)
    return (block.in_channels, block.out_channels, block.stride, names)


@lru_cache(maxsize=64)
def _no_ops(blocks: tuple[Block, ...]) -> tuple[tuple[bool, ...], ...]:
    with torch.device("meta"):
        return tuple(
            tuple(isinstance(block.build(o), nn.Identity) for o in range(len(block.operators))) for block in blocks
        )
