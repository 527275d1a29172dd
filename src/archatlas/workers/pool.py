"""Several workers over Ray: one machine or a cluster.

A worker is a Ray actor that holds a subject: images, and what is done with them. It is given jobs, some architectures
each, and sends every evaluation back as soon as it is made; this process alone writes the store. When a worker is
lost, what is left of its job goes to a new one, so that just the network under way is done again.

Ray moves arguments and results between its own processes as pickles; nothing of that is ever read from a file.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field

from archatlas.errors import ArchAtlasError, ConfigError, WorkerError
from archatlas.records import Architectures, Evaluation

WorkersName = Literal["local", "ray"]

Work = Callable[..., Iterator[Evaluation]]
"""Does a job: yields the evaluations of architectures `(A, L)` in their order; may take further arguments."""

_JOBS_PER_WORKER = 4
"""Jobs are of about equal cost, workers are not of equal speed."""


class RayConfig(BaseModel):
    """Which workers Ray starts, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = Field(
        default="auto", description="of a running cluster, such as ray://head:10001; auto = start Ray on this machine"
    )
    workers: int = Field(default=2, ge=1, description="that work side by side")
    cpus: int = Field(default=1, ge=1, description="CPUs, and threads, of a worker")
    gpus: float = Field(default=0.0, ge=0, description="GPUs of a worker; 0.5 = two share one")
    retries: int = Field(default=3, ge=0, description="lost workers that one job may be given again after")


class Subject(Protocol):
    """All that a worker needs, sent to it as a pickle."""

    def start(self, device: torch.device) -> Work:
        """Load it, on the worker; returns what does the jobs."""


class _Worker:
    """What runs in a Ray actor."""

    def __init__(self, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device(device)
        self._work: Work | None = None

    def do(self, subject: Subject, rows: Architectures, *arguments: Any) -> Iterator[Evaluation]:
        """Yield the evaluations of one job."""
        self._work = self._work or subject.start(self._device)
        yield from self._work(rows, *arguments)


@dataclass(slots=True)
class _Job:
    """A job, what of it is done, and how many workers were lost over it."""

    rows: Architectures
    lost: int = 0


class RayWorkers:
    """The workers for one subject (a `FanOut`); they start with the first job and end with `close`.

    Args:
        ray: Connected.
        config: How many, and of what size.
        subject: What they do.
    """

    def __init__(self, ray: Any, config: RayConfig, subject: Subject) -> None:
        self._ray, self._config = ray, config
        self.num_jobs = config.workers * _JOBS_PER_WORKER
        self._subject = ray.put(subject)
        self._actor = ray.remote(num_cpus=config.cpus, num_gpus=config.gpus, max_restarts=0)(_Worker)
        self._idle: list[Any] = []

    def __call__(self, jobs: Sequence[Architectures], *arguments: Any) -> Iterator[Evaluation]:
        """Yield the evaluations of all jobs, each as soon as it is made; `arguments` go to each job.

        Raises:
            WorkerError: If a job lost more workers than `retries`, or a worker cannot do its work.
        """
        waiting = deque(_Job(rows) for rows in jobs)
        running: dict[Any, tuple[Any, _Job]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._config.workers:
                    job = waiting.popleft()
                    worker = self._idle.pop() if self._idle else self._started()
                    results = worker.do.options(num_returns="streaming").remote(self._subject, job.rows, *arguments)
                    running[results] = worker, job
                (results, *_), _ = self._ray.wait(list(running), num_returns=1)
                worker, job = running[results]
                try:
                    evaluation = self._ray.get(next(results))
                except StopIteration:
                    del running[results]
                    self._idle.append(worker)
                    continue
                except self._ray.exceptions.RayActorError as error:
                    del running[results]
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
            for worker, _ in running.values():  # left early: they would work on
                self._ray.kill(worker)

    def _started(self) -> Any:
        return self._actor.remote(self._config.cpus, "cuda" if self._config.gpus else "cpu")

    def _left(self, job: _Job, error: Exception) -> _Job:
        if job.lost >= self._config.retries:
            raise WorkerError(
                f"{job.lost + 1} workers were lost over the same networks, the last one so: {error}. What was "
                "finished is kept; look at the memory of the workers, or raise ray.retries."
            ) from error
        return _Job(job.rows, job.lost + 1)

    def close(self) -> None:
        """End the workers."""
        for worker in self._idle:
            self._ray.kill(worker)
        self._idle.clear()


@contextmanager
def fanned_out(name: WorkersName, config: RayConfig, subject: Callable[[], Subject]) -> Iterator[RayWorkers | None]:
    """Yield the workers that the settings ask for; None for this process alone, which needs no `subject`.

    Raises:
        ConfigError: As `connected`.
    """
    if name == "local":
        yield None
        return
    with connected(config) as ray:
        workers = RayWorkers(ray, config, subject())
        try:
            yield workers
        finally:
            workers.close()


@contextmanager
def connected(config: RayConfig) -> Iterator[Any]:
    """Yield Ray, connected to a cluster or started here; what was started here ends with the block.

    Raises:
        ConfigError: If Ray is not installed, or there is no cluster at the address.
    """
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
    try:
        yield ray
    finally:
        ray.shutdown()
