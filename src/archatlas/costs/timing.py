"""Timing a module: what a backend must do, and the loop that all of them share.

A backend turns a module into a model once, and loads that as often as it is timed: where weights come to lie in memory
is chance, and moves a time by percents. What it loads is a call that runs one forward pass and returns when it is
finished. The loop warms up, finds how many calls make one sample longer than the clock's noise, and samples until the
median is certain enough.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import nn

Call = Callable[[], object]
"""One forward pass, finished on return."""

Load = Callable[[], Call]
"""Loads a model as a program that starts would."""

Clock = Callable[[], float]
"""Returns seconds."""


def clock_of(*, cpu: bool, threads: int) -> Clock:
    """Return the clock for passes on a device.

    One thread on a CPU is timed by the CPU time that it uses, which other programs on the machine hardly disturb and
    which is the time of the wall clock on an idle one. Everything else needs the wall clock.
    """
    return time.thread_time if cpu and threads == 1 else time.perf_counter


class Backend(Protocol):
    """What runs modules on a device."""

    @property
    def device(self) -> str:
        """Name of the hardware."""

    @property
    def runtime(self) -> str:
        """Name and version of the software."""

    @property
    def threads(self) -> int:
        """CPU threads that one pass may use."""

    @property
    def clock(self) -> Clock:
        """What passes are timed with."""

    def prepare(self, module: nn.Module, shape: tuple[int, ...]) -> Load:
        """Return a module in evaluation mode, ready to be loaded and run on an input of this shape `(B, C, H, W)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long one forward pass takes, in milliseconds.

    Args:
        median_ms: Of the samples.
        lower_ms: First quartile.
        upper_ms: Third quartile.
        count: Number of samples.
    """

    median_ms: float
    lower_ms: float
    upper_ms: float
    count: int


def time_calls(
    call: Call,
    *,
    clock: Clock,
    sample_ms: float = 1.0,
    least_samples: int = 10,
    most_seconds: float = 0.15,
    precision: float = 0.01,
) -> Timing:
    """Time a call.

    Args:
        call: One forward pass.
        clock: Returns seconds.
        sample_ms: Shortest sample; quicker calls are repeated within one sample.
        least_samples: Samples taken at least.
        most_seconds: Sampling stops then, once there are `least_samples`.
        precision: Sampling stops once the standard error of the median is below this share of it.
    """
    repeats = _warm_up(call, sample_ms / 1e3, clock)
    started, samples = clock(), []
    while True:
        before = clock()
        for _ in range(repeats):
            call()
        after = clock()
        samples.append((after - before) / repeats * 1e3)
        if len(samples) < least_samples or len(samples) % 10:
            continue
        lower, median, upper = np.quantile(samples, (0.25, 0.5, 0.75))
        # For Gaussian samples the standard error of the median is 0.93 times the interquartile range / sqrt(n).
        certain = 0.93 * (upper - lower) / math.sqrt(len(samples)) < precision * median
        if certain or after - started > most_seconds:
            return Timing(median_ms=float(median), lower_ms=float(lower), upper_ms=float(upper), count=len(samples))


def _warm_up(call: Call, sample_seconds: float, clock: Clock) -> int:
    """Run until caches, threads and clocks are warm; return the number of calls in a sample."""
    for _ in range(3):
        call()
    calls, started = 0, clock()
    while calls < 5 or clock() - started < 10 * sample_seconds:
        call()
        calls += 1
    return max(1, math.ceil(sample_seconds * calls / max(clock() - started, 1e-9)))
