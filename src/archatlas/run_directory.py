"""A run's directory: one owner at a time, and a record of which stage was made from which settings.

```
config.yaml            the resolved settings
stages.json            per stage: fingerprint of what it was made from, whether it is done, seconds, its files
events.jsonl           one line per thing that happened; enough to rebuild stages.json
supernet/  evaluations.sqlite  search.json  predictor/  atlas/  network/  result.json
```

A file that a finished stage wrote is compared with its digest before the stage is taken for done, so that what a
power loss or a bad disk cut short is noticed, named, and made again from what is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.files import (
    file_digest,
    read_header,
    read_json,
    read_json_lines,
    remove_leftovers,
    write_json,
    write_text,
    writing,
)
from archatlas.records import STAGES

MARKER = "stages.json"
EVENTS = "events.jsonl"
FORMAT = 1


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
            StorageError: If it cannot be written.
        """
        if not self.leads:
            yield self
            return
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file; name a directory for the run.")
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            # a process killed at its very start leaves hidden files at most
            foreign = any(not path.name.startswith(".") for path in self.path.iterdir())
        if foreign and not self._holds_run():
            raise ConfigError(f"{self.path} holds files but no run of archatlas; name an empty or a new directory.")
        with writing(self.path / ".lock"):
            lock = (self.path / ".lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ConfigError(
                    f"Another process is working in {self.path}; wait for it, stop it, or name another directory."
                ) from None
            self._mend()
            yield self

    def _holds_run(self) -> bool:
        return (self.path / MARKER).is_file() or (self.path / EVENTS).is_file()

    def _mend(self) -> None:
        """Clear away what a killed process left half written, and rebuild a damaged record from the events."""
        remove_leftovers(self.path)
        marker = self.path / MARKER
        try:
            known = read_json(marker)
        except ArtifactMismatchError:
            known = None
        whole = isinstance(known, dict) and all(name in _PLAIN or _is_record(known[name]) for name in known)
        if whole:
            read_header(marker, FORMAT, ())  # that of a later version is refused
        else:
            rebuilt = _from_events(read_json_lines(self.path / EVENTS))
            write_json(marker, {"format": FORMAT} | rebuilt)
            if rebuilt:
                self.log(f"{marker} was missing or damaged; rebuilt it from {EVENTS}")

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
        if held is None:
            self._update("identity", identity)
            self.event("claimed", identity=identity)
        write_text(self.path / "config.yaml", config)

    @contextmanager
    def stage(self, name: str, made_from: str, *outputs: str) -> Iterator[bool]:
        """Enter a stage; yields whether it is done already.

        A stage made from other settings is cleared and redone, and the user is told; so is one whose files are
        damaged, which goes on from those that are whole. Without an error in the block the stage is done when the
        block ends.

        All processes leave the stage together, so that each may read what the leader wrote.

        Args:
            name: Of the stage.
            made_from: Fingerprint of everything that its outputs depend on.
            outputs: Files and directories that this stage alone writes; cleared when the fingerprint changed.
        """
        record = self.share(self._enter(name, made_from, outputs) if self.leads else None)
        self._announce(name, record)
        started = time.monotonic()
        try:
            yield bool(record["done"])
        finally:
            if not record["done"]:
                record["seconds"] += time.monotonic() - started
                self._update(name, record)
        if not record["done"] and self.leads:
            record |= {"done": True, "files": self._digests(outputs)}
            self._update(name, record)
            if name in STAGES:
                self.log(f"{name}: done in {_span(record['seconds'])}")
            self.event("stage done", stage=name, **record)
        self.share(None)

    def _enter(self, name: str, made_from: str, outputs: Sequence[str]) -> dict[str, Any]:
        """Return the record of a stage, a new one if it was made from something else."""
        record: dict[str, Any] | None = self._stages().get(name)
        if record is not None and record["fingerprint"] == made_from:
            damaged = self._damaged(record) if record["done"] else []
            for file in damaged:
                self.log(f"{name}: {self.path / file} is missing or damaged, making it again")
                _remove(self.path / file)
            if damaged:
                record["done"] = False
                self._update(name, record)
                self.event("stage damaged", stage=name, files=damaged)
            return record
        if record is not None:
            self.log(f"{name}: settings or inputs have changed, redoing it")
        for output in outputs:  # also without a record: nobody knows what they were made from
            _remove(self.path / output)
        record = {"fingerprint": made_from, "done": False, "seconds": 0.0}
        self._update(name, record)
        return record

    def _digests(self, outputs: Iterable[str]) -> dict[str, str]:
        """Return the digest of every file that a stage leaves; checkpoints and logs have served and do not count."""
        roots = [self.path / output for output in outputs]
        paths = [path for root in roots for path in (sorted(root.rglob("*")) if root.is_dir() else [root])]
        files = [path for path in paths if path.is_file() and not path.name.startswith((".", "checkpoint"))]
        files = [path for path in files if "log" not in path.relative_to(self.path).parts]
        return {str(path.relative_to(self.path)): file_digest(path) for path in files}

    def _damaged(self, record: dict[str, Any]) -> list[str]:
        expected: dict[str, str] = record.get("files", {})
        return [
            name
            for name, digest in expected.items()
            if not (self.path / name).is_file() or file_digest(self.path / name) != digest
        ]

    def _announce(self, name: str, record: dict[str, Any]) -> None:
        if not self.leads or name not in STAGES:
            return
        number = f"stage {STAGES.index(name) + 1} of {len(STAGES)}, {name}"
        begun = f"continuing after {record['seconds']:.0f} s" if record["seconds"] else "begins"
        self.log(f"{number}: {'done before, in ' + _span(record['seconds']) if record['done'] else begun}")

    def seconds(self) -> dict[str, float]:
        """Return the time spent in each stage, over all sessions."""
        return {name: stage["seconds"] for name, stage in self._stages().items() if name not in _PLAIN}

    def event(self, what: str, **fields: Any) -> None:
        """Append a line to `events.jsonl`."""
        if not self.leads:
            return
        path = self.path / EVENTS
        with writing(path), path.open("a+b") as stream:
            if stream.tell() and not _ends_line(path):
                stream.write(b"\n")  # a power loss or a full disk cut the last line short
            stream.write((json.dumps({"time": time.time(), "event": what} | fields) + "\n").encode())

    def _stages(self) -> dict[str, Any]:
        return read_header(self.path / MARKER, FORMAT, ())

    def _update(self, name: str, value: Any) -> None:
        if self.leads:
            write_json(self.path / MARKER, self._stages() | {name: value})


_PLAIN = ("format", "identity")
_RECORD = ("fingerprint", "done", "seconds")


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and all(key in value for key in _RECORD)


def _from_events(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return identity and finished stages as the events tell them."""
    stages: dict[str, Any] = {}
    for entry in events:
        if entry.get("event") == "claimed":
            stages["identity"] = entry.get("identity")
        elif entry.get("event") == "stage done" and _is_record(entry):
            stages[str(entry.get("stage"))] = {key: entry[key] for key in (*_RECORD, "files") if key in entry}
    return stages


def _ends_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        return stream.read(1) == b"\n"


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
