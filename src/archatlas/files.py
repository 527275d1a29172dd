"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from archatlas.errors import ArtifactMismatchError, StorageError

_REFUSALS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG),
}
_TEMPORARY = re.compile(r"\..+\.(\d+)(\.\w+)?")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file that could not be written in the block, and why.

    Raises:
        StorageError: If the disk is full or refuses to write.
    """
    try:
        yield
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None or isinstance(error, StorageError):
            raise
        raise StorageError(
            f"{path} cannot be written: {os.strerror(refusal)}. Everything finished before is safe; mend that, "
            "then run the same command again to continue."
        ) from error


def _refusal(error: BaseException | None) -> int | None:
    """Return the system's reason behind an error; libraries raise their own over it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            return error.errno
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and takes the place of `path`.

    Raises:
        StorageError: If the disk is full or refuses to write.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files that killed processes left anywhere below a directory."""
    for path in directory.rglob(".*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and path.is_file() and not _is_alive(int(match[1])):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return process != os.getpid()  # a temporary file of ours was left by an earlier process of this number


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically; raises as `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8; raises as `atomic_path`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; raises as `atomic_path`."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ArtifactMismatchError: If the file is missing, cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactMismatchError(
            f"Expected the file {path}, which is missing; run the stage that writes it."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactMismatchError(
            f"{path} is damaged, it is no JSON ({error}); run the stage that writes it again."
        ) from None


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of one JSON object per line; lines that a killed process cut short are left out."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry


def read_header(path: Path, newest: int, required: Iterable[str]) -> dict[str, Any]:
    """Read a JSON object that carries the version of its format; one without a version is of version 1.

    Args:
        path: The file.
        newest: Latest format that this version of archatlas reads; it reads all before.
        required: Keys that the object must hold.

    Raises:
        ArtifactMismatchError: If the file is missing or damaged, or was written by a later version.
    """
    header = read_json(path)
    version = header.get("format", 1) if isinstance(header, dict) else None
    if not isinstance(version, int) or version > newest:
        raise ArtifactMismatchError(
            f"{path} has format {version!r}; this version of archatlas reads formats up to {newest}. Use the version "
            "that wrote it, or run the stage that writes it again."
        )
    missing = [key for key in required if key not in header]
    if missing:
        raise ArtifactMismatchError(
            f"{path} (format {version}) lacks {', '.join(missing)}: it is damaged, or of a version that is no "
            "longer read; run the stage that writes it again."
        )
    found: dict[str, Any] = header
    return found


def file_digest(path: Path) -> str:
    """Return sixteen hexadecimal digits of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
