"""What of a space is timed: stem, head, every distinct operator at its input shape, and whole networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from archatlas.costs.latency import BLOCK, CHOSEN, FITTED, HEAD, HELD_OUT, STEM
from archatlas.costs.macs import count
from archatlas.records import format_architecture, parse_architecture
from archatlas.spaces import ChainSpace

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured.

    Args:
        batch: Images in a pass.
        repeats: Turns of each job.
        fitted: Number of whole networks that the model is fitted to.
        held_out: Number of whole networks that check it.
        chosen: Number of further networks that check it: such as a search of the finished table would return.
        parts: Whether stem, head and operators are timed; without them the model is learnt from networks alone.
        seed: Of the networks and of the order.
    """

    batch: int
    repeats: int
    fitted: int
    held_out: int
    chosen: int
    parts: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One thing to time.

    Args:
        key: Its name in the log.
        rows: Part, block and operator of each row of the table that its time stands in.
        architecture: Of a whole network, as text, or empty.
        shape: Of the input.
        block: Number of a block that holds the operator, or -1.
        operator: Number of the operator there, or -1.
    """

    key: str
    rows: tuple[tuple[str, int, str], ...]
    architecture: str = ""
    shape: Shape
    block: int = -1
    operator: int = -1

    def build(self, space: ChainSpace) -> nn.Module:
        """Return the module, freshly initialised."""
        if self.architecture:
            return space.build(parse_architecture(self.architecture))
        if self.key == STEM:
            return space.stem(space.in_channels)
        if self.key == HEAD:
            return space.head(space.num_classes)
        return space.blocks[self.block].build(self.operator)


def jobs_of(space: ChainSpace, plan: Plan) -> list[Job]:
    """Return what a plan times before networks are chosen."""
    return [*(_parts(space, plan.batch) if plan.parts else ()), *_networks(space, plan)]


def chosen_jobs(space: ChainSpace, plan: Plan, architectures: Sequence[str]) -> list[Job]:
    """Return the jobs of networks that were chosen with the table of the first jobs."""
    return [_network(space, plan, text, CHOSEN) for text in architectures]


def _parts(space: ChainSpace, batch: int) -> Iterator[Job]:
    """Yield stem, head and every distinct operator with its input shape; equal ones are one job."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    where: dict[str, tuple[Shape, int, int]] = {}
    shape: Shape = (batch, space.in_channels, space.resolution, space.resolution)
    with torch.device("meta"):
        yield Job(key=STEM, rows=((STEM, -1, ""),), shape=shape)
        _, _, shape = count(space.stem(space.in_channels), shape)
        for number, (block, idle) in enumerate(zip(space.blocks, space.no_ops(), strict=True)):
            geometry = f"{block.in_channels} {block.out_channels} {block.stride} {shape[2]}x{shape[3]}"
            for i, operator in enumerate(block.operators):
                key = f"{operator.name} {geometry}"
                if not idle[i]:
                    found.setdefault(key, []).append((BLOCK, number, operator.name))
                    where.setdefault(key, (shape, number, i))
            _, _, shape = count(block.build(0), shape)
        yield Job(key=HEAD, rows=((HEAD, -1, ""),), shape=shape)
    for key, rows in found.items():
        yield Job(key=key, rows=tuple(rows), shape=where[key][0], block=where[key][1], operator=where[key][2])


def _networks(space: ChainSpace, plan: Plan) -> Iterator[Job]:
    """Yield distinct random networks; the first ones are fitted, the last ones held out."""
    wanted = min(plan.fitted + plan.held_out, space.size)
    rng, chosen = np.random.default_rng(plan.seed), dict[str, None]()
    for _ in range(1000):
        drawn = space.canonical(space.sample(wanted, rng))
        chosen |= dict.fromkeys(format_architecture(tuple(map(int, row))) for row in drawn)
        if len(chosen) >= wanted:
            break
    for number, text in enumerate(list(chosen)[:wanted]):
        yield _network(space, plan, text, FITTED if number < plan.fitted else HELD_OUT)


def _network(space: ChainSpace, plan: Plan, text: str, part: str) -> Job:
    shape = (plan.batch, space.in_channels, space.resolution, space.resolution)
    return Job(key=text, rows=((part, -1, ""),), architecture=text, shape=shape)
