"""Measuring a space: every distinct operator and input shape, stem and head, and whole networks.

All of it is one list of jobs that is gone through several times, in random order: what slows the device for a while
then falls on everything alike, and of the turns of a job the quickest counts, because other programs only ever slow a
pass down. Each time is on disk as soon as it is measured, and the same call continues where it was stopped.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from archatlas.costs.jobs import Job, Plan, chosen_jobs, jobs_of
from archatlas.costs.latency import Conditions, Measured
from archatlas.costs.timing import Backend, Load, Timing, time_calls
from archatlas.errors import ArtifactMismatchError
from archatlas.files import read_json_lines, write_text
from archatlas.records import Monitor, parse_architecture, silent
from archatlas.spaces import ChainSpace

Choose = Callable[[tuple[Measured, ...]], Sequence[str]]
"""Picks further networks, as text, by what has been measured."""

TURNS = 12
"""How often everything is timed, unless told otherwise."""

_MOST_KEPT_BYTES = 2**31


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
    space: ChainSpace,
    backend: Backend,
    plan: Plan,
    log: Path,
    *,
    choose: Choose | None = None,
    monitor: Monitor = silent,
) -> tuple[Measured, ...]:
    """Measure a space, or continue the measurement in `log`.

    Args:
        space: At the resolution and for the task of interest.
        backend: Device and runtime.
        plan: What to measure.
        log: Receives a line per time; one that was made under other conditions is refused.
        choose: Picks `plan.chosen` further networks by all other times; must pick the same ones when called again.
        monitor: Told of every job.

    Returns:
        A row per stem, head, block and operator, and whole network. Operators that do nothing have none.

    Raises:
        ArtifactMismatchError: If the log belongs to another measurement.
    """
    done = _open(log, conditions_of(space, backend, plan.batch), plan)
    with log.open("a", encoding="utf-8") as stream:
        bench = _Bench(space, backend, done, stream)
        jobs = jobs_of(space, plan)
        bench.time(jobs, plan, monitor, first=0, total=len(jobs) + plan.chosen)
        rows = tuple(row for job in jobs for row in _rows(job, done, plan))
        if choose is None:
            return rows
        further = chosen_jobs(space, plan, choose(rows))
        bench.time(further, plan, monitor, first=len(jobs), total=len(jobs) + len(further))
    return (*rows, *(row for job in further for row in _rows(job, done, plan)))


class _Bench:
    """Where jobs are timed: models that were made once are kept, as far as memory allows."""

    def __init__(self, space: ChainSpace, backend: Backend, done: dict[str, Timing], stream: TextIO) -> None:
        self.space, self.backend, self.done, self.stream = space, backend, done, stream
        self.kept: dict[str, Load] = {}
        self.kept_bytes = 0

    def time(self, jobs: Sequence[Job], plan: Plan, monitor: Monitor, *, first: int, total: int) -> None:
        """Give every job its turns; `first` of `total` jobs had theirs before."""
        rng, number = np.random.default_rng(plan.seed), first * plan.repeats
        for turn in range(plan.repeats):
            for i in rng.permutation(len(jobs)).tolist():
                key = f"{jobs[i].key} {turn}"
                if key not in self.done:
                    self._time(jobs[i], key)
                number += 1
                monitor(number, total * plan.repeats, ms=self.done[key].median_ms)

    def _time(self, job: Job, key: str) -> None:
        timing = time_calls(self._model(job)(), clock=self.backend.clock)
        self.stream.write(json.dumps({"key": key, **dataclasses.asdict(timing)}) + "\n")
        self.stream.flush()
        self.done[key] = timing

    def _model(self, job: Job) -> Load:
        if job.key in self.kept:
            return self.kept[job.key]
        module = job.build(self.space)
        load = self.backend.prepare(module, job.shape)
        size = sum(parameter.nbytes for parameter in module.parameters())
        if self.kept_bytes + size <= _MOST_KEPT_BYTES:
            self.kept[job.key] = load
            self.kept_bytes += size
        return load


def _rows(job: Job, done: dict[str, Timing], plan: Plan) -> Iterator[Measured]:
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
    space: ChainSpace, backend: Backend, architectures: Sequence[str], *, batch: int, repeats: int = TURNS
) -> dict[str, Timing]:
    """Time given whole networks as `measure` does, such as those that a query returned; by their text."""
    shape = (batch, space.in_channels, space.resolution, space.resolution)
    models = {text: backend.prepare(space.build(parse_architecture(text)), shape) for text in architectures}
    found: dict[str, Timing] = {}
    for text in [*models] * repeats:
        timing = time_calls(models[text](), clock=backend.clock)
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
