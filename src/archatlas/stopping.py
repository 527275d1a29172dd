"""Stopping at a safe place: SIGTERM and SIGINT become the exception `Stopped`.

Most code may be left at any line, for what it finished is on disk already. A training may not: it defers the
signal to the end of its update, writes a checkpoint, and then leaves. A second signal is not deferred.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """The run was asked to stop; no error, so nothing but the command line catches it.

    Args:
        number: The signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        self.number = number
        super().__init__(f"stopped by signal {number}")

    @property
    def exit_code(self) -> int:
        """What a shell expects: 143 after SIGTERM, 130 after SIGINT."""
        return 128 + self.number


@dataclass(slots=True)
class _Signals:
    """What a signal handler and the code that it interrupts must share; signals belong to the whole process."""

    received: int | None = None
    deferring: bool = False


_signals = _Signals()


@contextmanager
def signals_stop() -> Iterator[None]:
    """Raise `Stopped` inside the block on SIGTERM or SIGINT. For the main thread."""
    owner = os.getpid()

    def handle(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked process that reads images ends as it would without us
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        first = _signals.received is None
        _signals.received = number
        if not (first and _signals.deferring):
            raise Stopped(number)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _signals.received = None


@contextmanager
def deferred() -> Iterator[Callable[[], int | None]]:
    """Hold the first signal back inside the block; yields a function that returns it, None while there is none."""
    _signals.deferring = True
    try:
        yield lambda: _signals.received
    finally:
        _signals.deferring = False
