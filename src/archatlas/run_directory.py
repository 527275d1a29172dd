"""A run's directory: one owner at a time, and a record of which stage was made from which settings.

```
config.yaml            the resolved settings
stages.json            per stage: fingerprint of what it was made from, whether it is done, seconds
events.jsonl           one line per thing that happened
supernet/  evaluations.sqlite  search.json  predictor/  atlas/  network/  result.json
```
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.files import read_json, write_json, write_text

MARKER = "stages.json"


def fingerprint(*parts: Any) -> str:
    """Return twelve hexadecimal digits of JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


class RunDirectory:
    """The directory of one run.

    Args:
        path: Made if missing.
        log: Receives lines for the user.
        leads: Whether this process is the one that writes; of several, exactly one does.
        share: Returns the leader's value on every process, once all have come that far.
    """

    def __init__(
        self, path: Path, log: Callable[[str], None], *, leads: bool = True, share: Callable[[Any], Any] = lambda v: v
    ) -> None:
        self.path, self.log, self.leads, self.share = path, log, leads, share

    @contextmanager
    def owned(self) -> Iterator[RunDirectory]:
        """Hold the directory; the lock goes with the process, however it ends.

        Raises:
            ConfigError: If another process holds it, or the directory holds something else than a run.
        """
        if not self.leads:
            yield self
            return
        if self.path.is_file():
            raise ConfigError(f"{self.path} is a file; name a directory for the run.")
        if self.path.is_dir() and any(self.path.iterdir()) and not (self.path / MARKER).is_file():
            raise ConfigError(f"{self.path} holds files but no run of archatlas; name an empty or a new directory.")
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / MARKER).exists():
            write_json(self.path / MARKER, {})
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    f"Another process is working in {self.path}; wait for it, stop it, or name another directory."
                ) from None
            yield self

    def claim(self, identity: str, config: str) -> None:
        """Record the settings; refuse a directory that was made for another space or data set.

        Raises:
            ArtifactMismatchError: If the directory belongs to another run.
        """
        if not self.leads:
            return
        held = self._stages().get("identity")
        if held is not None and held != identity:
            raise ArtifactMismatchError(
                f"{self.path} is the run of {held}, not of {identity}; name another directory with --run."
            )
        self._update("identity", identity)
        write_text(self.path / "config.yaml", config)

    @contextmanager
    def stage(self, name: str, made_from: str, *outputs: str) -> Iterator[bool]:
        """Enter a stage; yields whether it is done already.

        A stage made from other settings is cleared and redone, and the user is told. Without an error in the block
        the stage is done when the block ends.

        All processes leave the stage together, so that each may read what the leader wrote.

        Args:
            name: Of the stage.
            made_from: Fingerprint of everything that its outputs depend on.
            outputs: Files and directories to clear when the fingerprint changed.
        """
        record = self.share(self._enter(name, made_from, outputs) if self.leads else None)
        started = time.monotonic()
        try:
            yield bool(record["done"])
        finally:
            if not record["done"]:
                record["seconds"] += time.monotonic() - started
                self._update(name, record)
        if not record["done"]:
            self._update(name, record | {"done": True})
            self.event("stage done", stage=name, seconds=round(record["seconds"], 3))
        self.share(None)

    def _enter(self, name: str, made_from: str, outputs: Sequence[str]) -> dict[str, Any]:
        """Return the record of a stage, a new one if it was made from something else."""
        record: dict[str, Any] | None = self._stages().get(name)
        if record is not None and record["fingerprint"] == made_from:
            return record
        if record is not None:
            self.log(f"{name}: settings or inputs have changed, redoing it")
            for output in outputs:
                _remove(self.path / output)
        record = {"fingerprint": made_from, "done": False, "seconds": 0.0}
        self._update(name, record)
        return record

    def seconds(self) -> dict[str, float]:
        """Return the time spent in each stage, over all sessions."""
        return {name: stage["seconds"] for name, stage in self._stages().items() if name != "identity"}

    def event(self, what: str, **fields: Any) -> None:
        """Append a line to `events.jsonl`."""
        if not self.leads:
            return
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"time": time.time(), "event": what} | fields) + "\n")

    def _stages(self) -> dict[str, Any]:
        stages: dict[str, Any] = read_json(self.path / MARKER)
        return stages

    def _update(self, name: str, value: Any) -> None:
        if self.leads:
            write_json(self.path / MARKER, self._stages() | {name: value})


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
