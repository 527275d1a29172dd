"""Measuring a space: every distinct operator and input shape, stem and head, and whole random networks.

All of it is one list of jobs in random order, each several times: what slows the device for a while then falls on
everything alike, and of the turns of a job the quickest counts, because other programs only ever slow a pass down. Each
time is on disk as soon as it is measured, and the same call continues where it was stopped.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from archatlas.costs.latency import BLOCK, FITTED, HEAD, HELD_OUT, STEM, Conditions, Measured
from archatlas.costs.macs import count
from archatlas.costs.timing import Backend, Call, Timing, time_calls
from archatlas.errors import ArtifactMismatchError
from archatlas.files import read_json_lines, write_text
from archatlas.records import Monitor, format_architecture, parse_architecture, silent
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
        parts: Whether stem, head and operators are timed; without them the model is learnt from networks alone.
        seed: Of the networks and of the order.
    """

    batch: int
    repeats: int
    fitted: int
    held_out: int
    parts: bool
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One thing to time: its key in the log, and where it stands in the space."""

    key: str
    rows: tuple[tuple[str, int, str], ...] = ()
    architecture: str = ""
    shape: Shape
    block: int = -1
    operator: int = -1


def conditions_of(space: ChainSpace, backend: Backend, batch: int) -> Conditions:
    """Return the conditions that a measurement with this backend has."""
    return Conditions(
        device=backend.device,
        runtime=backend.runtime,
        threads=backend.threads,
        batch=batch,
        resolution=space.resolution,
        space=space.name,
        digest=space.digest,
    )


def measure(
    space: ChainSpace, backend: Backend, plan: Plan, log: Path, *, monitor: Monitor = silent
) -> tuple[Measured, ...]:
    """Measure a space, or continue the measurement in `log`.

    Args:
        space: At the resolution and for the task of interest.
        backend: Device and runtime.
        plan: What to measure.
        log: Receives a line per time; one that was made under other conditions is refused.
        monitor: Told of every job.

    Returns:
        A row per stem, head, block and operator, and whole network. Operators that do nothing have none.

    Raises:
        ArtifactMismatchError: If the log belongs to another measurement.
    """
    jobs = [*_parts(space, plan.batch), *_networks(space, plan)] if plan.parts else list(_networks(space, plan))
    turns = [(job, turn) for job in jobs for turn in range(plan.repeats)]
    order = np.random.default_rng(plan.seed).permutation(len(turns))
    done = _open(log, conditions_of(space, backend, plan.batch), plan)
    calls: dict[str, Call] = {}
    with log.open("a", encoding="utf-8") as stream:
        for number, i in enumerate(order.tolist()):
            job, turn = turns[i]
            if f"{job.key} {turn}" not in done:
                timing = time_calls(_prepared(space, backend, job, calls), clock=backend.clock)
                line = {"key": f"{job.key} {turn}", **dataclasses.asdict(timing)}
                stream.write(json.dumps(line) + "\n")
                stream.flush()
                done[f"{job.key} {turn}"] = timing
            monitor(number + 1, len(order), ms=done[f"{job.key} {turn}"].median_ms)
    return tuple(row for job in jobs for row in _rows(job, done, plan))


def _parts(space: ChainSpace, batch: int) -> Iterator[_Job]:
    """Yield stem, head and every distinct operator with its input shape; equal ones are one job."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    where: dict[str, tuple[Shape, int, int]] = {}
    shape: Shape = (batch, space.in_channels, space.resolution, space.resolution)
    with torch.device("meta"):
        yield _Job(key=STEM, rows=((STEM, -1, ""),), shape=shape)
        _, _, shape = count(space.stem(space.in_channels), shape)
        for number, (block, idle) in enumerate(zip(space.blocks, space.no_ops(), strict=True)):
            geometry = f"{block.in_channels} {block.out_channels} {block.stride} {shape[2]}x{shape[3]}"
            for i, operator in enumerate(block.operators):
                key = f"{operator.name} {geometry}"
                if not idle[i]:
                    found.setdefault(key, []).append((BLOCK, number, operator.name))
                    where.setdefault(key, (shape, number, i))
            _, _, shape = count(block.build(0), shape)
        yield _Job(key=HEAD, rows=((HEAD, -1, ""),), shape=shape)
    for key, rows in found.items():
        yield _Job(key=key, rows=tuple(rows), shape=where[key][0], block=where[key][1], operator=where[key][2])


def _networks(space: ChainSpace, plan: Plan) -> Iterator[_Job]:
    """Yield distinct random networks; the first ones are fitted, the last ones held out."""
    shape = (plan.batch, space.in_channels, space.resolution, space.resolution)
    wanted = min(plan.fitted + plan.held_out, space.size)
    rng, chosen = np.random.default_rng(plan.seed), dict[str, None]()
    for _ in range(1000):
        drawn = space.canonical(space.sample(wanted, rng))
        chosen |= dict.fromkeys(format_architecture(tuple(map(int, row))) for row in drawn)
        if len(chosen) >= wanted:
            break
    for number, text in enumerate(list(chosen)[:wanted]):
        part = FITTED if number < plan.fitted else HELD_OUT
        yield _Job(key=text, rows=((part, -1, ""),), architecture=text, shape=shape)


def _prepared(space: ChainSpace, backend: Backend, job: _Job, calls: dict[str, Call]) -> Call:
    """Return the call of a job; parts are kept for their next turn, networks would take too much memory."""
    if job.key in calls:
        return calls[job.key]
    call = backend.prepare(_build(space, job), job.shape)
    if not job.architecture:
        calls[job.key] = call
    return call


def _build(space: ChainSpace, job: _Job) -> nn.Module:
    if job.architecture:
        return space.build(parse_architecture(job.architecture))
    if job.key == STEM:
        return space.stem(space.in_channels)
    if job.key == HEAD:
        return space.head(space.num_classes)
    return space.blocks[job.block].build(job.operator)


def _rows(job: _Job, done: dict[str, Timing], plan: Plan) -> Iterator[Measured]:
    """Yield the rows of a job: the quickest of its turns."""
    best = min((done[f"{job.key} {turn}"] for turn in range(plan.repeats)), key=lambda timing: timing.median_ms)
    for part, block, operator in job.rows:
        yield Measured(
            part=part,
            block=block,
            operator=operator,
            architecture=job.architecture,
            ms=best.median_ms,
            lower_ms=best.lower_ms,
            upper_ms=best.upper_ms,
            count=best.count,
        )


def time_networks(
    space: ChainSpace, backend: Backend, architectures: Sequence[str], *, batch: int, repeats: int = 3
) -> dict[str, Timing]:
    """Time given whole networks as `measure` does, such as those that a query returned; by their text."""
    shape = (batch, space.in_channels, space.resolution, space.resolution)
    found: dict[str, Timing] = {}
    for text in [*architectures] * repeats:
        call = backend.prepare(space.build(parse_architecture(text)), shape)
        timing = time_calls(call, clock=backend.clock)
        found[text] = min(timing, found.get(text, timing), key=lambda timing: timing.median_ms)
    return found


def _open(log: Path, conditions: Conditions, plan: Plan) -> dict[str, Timing]:
    """Return the times that a log holds; start it where it does not exist. A line cut short is dropped.

    Raises:
        ArtifactMismatchError: If it belongs to another measurement.
    """
    header: dict[str, Any] = {"conditions": dataclasses.asdict(conditions), "plan": dataclasses.asdict(plan)}
    records = list(read_json_lines(log))
    if records and records[0] != header:
        differ = [
            f"{name} {records[0].get(group, {}).get(name)!r} instead of {value!r}"
            for group, facts in header.items()
            for name, value in facts.items()
            if records[0].get(group, {}).get(name) != value
        ]
        raise ArtifactMismatchError(
            f"{log} holds an unfinished measurement with {', '.join(differ)}. Times of different conditions are not "
            "mixed: continue with the same settings and device, or delete that file."
        )
    write_text(log, "".join(json.dumps(record) + "\n" for record in records or [header]))
    return {
        record["key"]: Timing(**{name: value for name, value in record.items() if name != "key"})
        for record in records[1:]
    }
