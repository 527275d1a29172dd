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
from collections.abc import Callable, Iterator
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
    """

    def __init__(self, path: Path, log: Callable[[str], None]) -> None:
        self.path, self.log = path, log

    @contextmanager
    def owned(self) -> Iterator[RunDirectory]:
        """Hold the directory; the lock goes with the process, however it ends.

        Raises:
            ConfigError: If another process holds it, or the directory holds something else than a run.
        """
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

        Args:
            name: Of the stage.
            made_from: Fingerprint of everything that its outputs depend on.
            outputs: Files and directories to clear when the fingerprint changed.
        """
        record = self._stages().get(name)
        if record is not None and record["fingerprint"] != made_from:
            self.log(f"{name}: settings or inputs have changed, redoing it")
            for output in outputs:
                _remove(self.path / output)
            record = None
        if record is None:
            self._update(name, {"fingerprint": made_from, "done": False, "seconds": 0.0})
        done = bool(record and record["done"])
        started = time.monotonic()
        try:
            yield done
        finally:
            if not done:
                spent = (record or {}).get("seconds", 0.0) + time.monotonic() - started
                self._update(name, {"fingerprint": made_from, "done": False, "seconds": spent})
        if not done:
            self._update(name, self._stages()[name] | {"done": True})
            self.event("stage done", stage=name, seconds=round(self._stages()[name]["seconds"], 3))

    def seconds(self) -> dict[str, float]:
        """Return the time spent in each stage, over all sessions."""
        return {name: stage["seconds"] for name, stage in self._stages().items() if name != "identity"}

    def event(self, what: str, **fields: Any) -> None:
        """Append a line to `events.jsonl`."""
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"time": time.time(), "event": what} | fields) + "\n")

    def _stages(self) -> dict[str, Any]:
        stages: dict[str, Any] = read_json(self.path / MARKER)
        return stages

    def _update(self, name: str, value: Any) -> None:
        write_json(self.path / MARKER, self._stages() | {name: value})


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
