"""Evaluation by several workers over Ray: one machine or a cluster.

A worker is a Ray actor that holds the super-network and the images. It is given jobs, sub-trees of the walk of about
equal cost, and sends every score back as soon as it is made; this process alone writes the store. When a worker is
lost, what is left of its job goes to a new one, so that just the network under way is evaluated again.

Ray moves arguments and results between its own processes as pickles; nothing of that is ever read from a file.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load

from archatlas.data import DataConfig, load_data
from archatlas.errors import ArchAtlasError, ArtifactMismatchError, ConfigError, WorkerError
from archatlas.evaluation import EvaluationConfig, Walker
from archatlas.records import Architectures, Evaluation
from archatlas.spaces.user import BUILT_IN, load_space
from archatlas.supernet import SuperNet

WorkersName = Literal["local", "ray"]

_JOBS_PER_WORKER = 4
"""Jobs are of about equal cost, workers are not of equal speed."""


class RayConfig(BaseModel):
    """Which workers Ray starts, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = Field(
        default="auto", description="of a running cluster, such as ray://head:10001; auto = start Ray on this machine"
    )
    workers: int = Field(default=2, ge=1, description="that evaluate side by side, each with its own super-network")
    cpus: int = Field(default=1, ge=1, description="CPUs, and threads, of a worker")
    gpus: float = Field(default=0.0, ge=0, description="GPUs of a worker; 0.5 = two share one")
    retries: int = Field(default=3, ge=0, description="lost workers that one job may be given again after")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """All that a worker needs to score sub-networks.

    Args:
        space: As `load_space` takes it; a file must lie at the same path on every machine.
        data: Likewise; a worker refuses images that are not those of this run.
        digest: Of the images.
        evaluation: Images, precision.
        weights: Of the super-network, as safetensors.
        threads: CPU threads of a worker.
        device: `cpu` or `cuda`.
    """

    space: str
    data: DataConfig
    digest: str
    evaluation: EvaluationConfig
    weights: bytes
    threads: int = 1
    device: str = "cpu"

    def walker(self) -> Walker:
        """Load space, images and weights.

        Raises:
            ArtifactMismatchError: If the images here are not those of the run.
        """
        torch.set_num_threads(self.threads)
        data = load_data(self.data)
        if data.digest != self.digest:
            raise ArtifactMismatchError(
                f"The images at {self.data.path} on {os.uname().nodename} are not those of the run ({data.digest}, "
                f"expected {self.digest}); lay the same files at the same path on every machine."
            )
        space = load_space(self.space).for_task(
            in_channels=data.channels, num_classes=data.num_classes, resolution=data.resolution
        )
        supernet = SuperNet(space)
        supernet.load_state_dict(load(self.weights))
        return Walker(supernet, data, self.evaluation, device=torch.device(self.device))


class _Worker:
    """What runs in a Ray actor."""

    def __init__(self) -> None:
        self._walker: Walker | None = None

    def walk(self, subject: Subject, rows: Architectures, chunk: int) -> Iterator[Evaluation]:
        """Yield the evaluations of one job."""
        self._walker = self._walker or subject.walker()
        yield from self._walker.walk(rows, chunk)


@dataclass(slots=True)
class _Job:
    """A job, what of it is done, and how many workers were lost over it."""

    rows: Architectures
    lost: int = 0


class RayWorkers:
    """The workers for one subject (a `FanOut`); they start with the first walk and end with `close`.

    Args:
        config: How many, and where.
        subject: What they score.

    Raises:
        ConfigError: If Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, config: RayConfig, subject: Subject) -> None:
        self._ray = _connected(config)
        self._config = config
        self.num_jobs = config.workers * _JOBS_PER_WORKER
        device = "cuda" if config.gpus else "cpu"
        self._subject = self._ray.put(replace(subject, threads=config.cpus, device=device))
        self._actor = self._ray.remote(num_cpus=config.cpus, num_gpus=config.gpus, max_restarts=0)(_Worker)
        self._idle: list[Any] = []

    def __call__(self, jobs: Sequence[Architectures], chunk: int) -> Iterator[Evaluation]:
        """Yield the evaluations of all jobs, each as soon as it is made.

        Raises:
            WorkerError: If a job lost more workers than `retries`, or a worker cannot do its work.
        """
        waiting = deque(_Job(rows) for rows in jobs)
        running: dict[Any, tuple[Any, _Job]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._config.workers:
                    job = waiting.popleft()
                    worker = self._idle.pop() if self._idle else self._actor.remote()
                    scores = worker.walk.options(num_returns="streaming").remote(self._subject, job.rows, chunk)
                    running[scores] = worker, job
                (scores, *_), _ = self._ray.wait(list(running), num_returns=1)
                worker, job = running[scores]
                try:
                    evaluation = self._ray.get(next(scores))
                except StopIteration:
                    del running[scores]
                    self._idle.append(worker)
                    continue
                except self._ray.exceptions.RayActorError as error:
                    del running[scores]
                    if len(job.rows):
                        waiting.append(self._left(job, error))
                    continue
                except self._ray.exceptions.RayTaskError as error:
                    if isinstance(error.cause, ArchAtlasError):
                        raise WorkerError(f"A worker stopped: {error.cause}") from None
                    raise
                job.rows = job.rows[1:]
                yield evaluation
        finally:
            for worker, _ in running.values():  # left early: they would walk on
                self._ray.kill(worker)

    def _left(self, job: _Job, error: Exception) -> _Job:
        if job.lost >= self._config.retries:
            raise WorkerError(
                f"{job.lost + 1} workers were lost over the same sub-networks, the last one so: {error}. What was "
                "scored is kept; look at the memory of the workers, or raise ray.retries."
            ) from error
        return _Job(job.rows, job.lost + 1)

    def close(self) -> None:
        """End the workers, and Ray where it was started for them."""
        for worker in self._idle:
            self._ray.kill(worker)
        self._ray.shutdown()


@contextmanager
def fanned_out(name: WorkersName, config: RayConfig, subject: Callable[[], Subject]) -> Iterator[RayWorkers | None]:
    """Yield the workers that the settings ask for; None for this process alone, which needs no `subject`."""
    if name == "local":
        yield None
        return
    workers = RayWorkers(config, subject())
    try:
        yield workers
    finally:
        workers.close()


def portable(space: str, data: DataConfig) -> tuple[str, DataConfig]:
    """Return space and data with absolute paths: workers do not run in this directory."""
    path = space if space in BUILT_IN else str(Path(space).expanduser().resolve())
    return path, data.model_copy(update={"path": data.path.resolve()})


def _connected(config: RayConfig) -> Any:
    """Return Ray, connected or started."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise ConfigError("`workers: ray` needs Ray, an extra: pip install 'archatlas[ray]'") from None
    handler = signal.getsignal(signal.SIGTERM)
    local = config.address == "auto"
    try:
        ray.init(
            address="local" if local else config.address,
            num_cpus=config.workers * config.cpus if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"No Ray cluster could be used at ray.address {config.address!r}: {error}") from error
    finally:
        signal.signal(signal.SIGTERM, handler)  # Ray puts its own in place, which writes no checkpoint
    return ray
