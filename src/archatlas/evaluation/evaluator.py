"""Score many sub-networks by one depth-first walk over the trie of their architectures.

Two architectures with the same first `k` blocks share the activations after block `k`, so each block runs once per
distinct prefix. The images that recalibrate BN ride in the same walk. Every score equals that of the sub-network
evaluated alone, to rounding.

Legend: `R` reference images (BN recalibration), `V` validation images, `L` choice blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from archatlas.data import ImageData
from archatlas.errors import ConfigError
from archatlas.evaluation.trie import block_passes, split_jobs
from archatlas.evaluation.walker import EvaluationConfig, Walker
from archatlas.records import Architecture, Architectures, Evaluation, Monitor, as_array, silent
from archatlas.store import EvaluationStore, Scope
from archatlas.supernet import SuperNet


class FanOut(Protocol):
    """Gives the jobs of a walk to several workers."""

    num_jobs: int
    """Into how many jobs a walk shall be cut."""

    def __call__(self, jobs: Sequence[Architectures], chunk: int, /) -> Iterator[Evaluation]:
        """Yield the evaluations of all jobs, each as soon as it is made; see `Walker.walk`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What a walk will do, known before it starts.

    Args:
        rows: `(A, L)` architectures still to be scored: canonical, distinct, sorted.
        jobs: Ranges of rows, each an independent walk.
        chunk: Most images (reference and validation) that one pass carries.
        peak_gib: Bound on the activations held at once.
    """

    rows: Architectures
    jobs: tuple[slice, ...]
    chunk: int
    peak_gib: float

    @property
    def passes(self) -> int:
        """Block passes of the walk."""
        return sum(block_passes(self.rows[job]) for job in self.jobs)

    @property
    def passes_alone(self) -> int:
        """Block passes that one-at-a-time evaluation would take."""
        return self.rows.size


def scope_of(supernet_digest: str, data: ImageData, config: EvaluationConfig) -> Scope:
    """Return what the scores of one super-network, data set and settings are stored under."""
    return Scope(supernet=supernet_digest, data=data.digest, settings=config.digest)


class Evaluator:
    """Scores sub-networks of one super-network on one data set; works on a private copy that it never changes.

    Args:
        supernet: The trained super-network.
        supernet_digest: Names its weights in the store.
        data: Reference images come from its training split, without augmentation; scores from its validation split.
        config: Images, precision, memory.
        store: Receives every score at once.
        device: Where the walk runs.
        fan_out: Workers that walk instead of this process.
    """

    def __init__(
        self,
        supernet: SuperNet,
        supernet_digest: str,
        data: ImageData,
        config: EvaluationConfig,
        *,
        store: EvaluationStore,
        device: torch.device,
        fan_out: FanOut | None = None,
    ) -> None:
        self.space, self.config, self.store, self._fan_out = supernet.space, config, store, fan_out
        self.scope = scope_of(supernet_digest, data, config)
        self._walker = Walker(supernet, data, config, device=device)

    def plan(self, architectures: Sequence[Architecture] | Architectures) -> Plan:
        """Return what scoring these architectures takes; those in the store are left out.

        Raises:
            InvalidArchitectureError: If one does not belong to the space.
            ConfigError: If not even one validation image fits into the memory bound.
        """
        for architecture in architectures:
            self.space.validate(tuple(architecture))
        rows = self.space.canonical(as_array(architectures).reshape(-1, len(self.space.blocks)))
        known = self.store.all(self.scope)
        missing = [row for row in np.unique(rows, axis=0) if tuple(row.tolist()) not in known]
        rows = as_array(missing).reshape(-1, len(self.space.blocks))
        per_image, reference = self._walker.gib_per_image, self._walker.num_reference
        chunk = int(self.config.memory_gib / per_image)
        if chunk <= reference:
            raise ConfigError(
                f"evaluation.memory_gib is {self.config.memory_gib:g}, but {reference} recalibration images "
                f"and one validation image need {(reference + 1) * per_image:.3g} GiB. Raise memory_gib, or "
                f"lower evaluation.recalibration_images to at most {max(chunk - 1, 0)}."
            )
        images = reference + self._walker.num_images
        chunk, chunked = min(chunk, images), chunk < images
        # A job's scores are complete when its last chunk is through; without chunks every leaf is complete at once.
        num_jobs = 1 if self._fan_out is None else self._fan_out.num_jobs
        jobs = split_jobs(rows, max(num_jobs, len(rows) // 64) if chunked else num_jobs)
        return Plan(rows=rows, jobs=tuple(jobs), chunk=chunk, peak_gib=chunk * per_image)

    def __call__(
        self,
        architectures: Sequence[Architecture] | Architectures,
        *,
        plan: Plan | None = None,
        monitor: Monitor = silent,
    ) -> list[Evaluation]:
        """Score architectures and return one evaluation for each, in order.

        Architectures that are the same network share one evaluation, that of the canonical one. What the store holds
        is not evaluated again.

        Args:
            architectures: `(A, L)`.
            plan: What `plan` returned for them, where the caller has it already.
            monitor: Told of every score.

        Raises:
            InvalidArchitectureError: If one does not belong to the space.
            ConfigError: If the memory bound is too small.
        """
        plan = self.plan(architectures) if plan is None else plan
        for done, evaluation in enumerate(self._evaluations(plan), 1):
            self.store.add(self.scope, evaluation)
            monitor(done, len(plan.rows))
        known = self.store.all(self.scope)
        rows = self.space.canonical(as_array(architectures).reshape(-1, len(self.space.blocks)))
        return [known[tuple(row)] for row in rows.tolist()]

    def _evaluations(self, plan: Plan) -> Iterator[Evaluation]:
        """Yield every score of a plan as soon as it is made, here or by workers."""
        jobs = [plan.rows[job] for job in plan.jobs]
        if self._fan_out is not None:
            yield from self._fan_out(jobs, plan.chunk)
            return
        for rows in jobs:
            yield from self._walker.walk(rows, plan.chunk)
