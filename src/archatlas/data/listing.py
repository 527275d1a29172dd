"""Finding the image files of a directory of class folders, and what each of them is.

Every file is decoded once to find its size, whether it is grey and whether it is broken; `.archatlas-index.json` in the
directory keeps the answers, as long as names, sizes and times of the files stay the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from archatlas.data.base import digest_of
from archatlas.data.listed import Found, Names
from archatlas.data.pictures import SUFFIXES, UnreadableError, is_grey, read_picture
from archatlas.data.streaming import in_workers
from archatlas.errors import DataError
from archatlas.files import write_bytes

_INDEX = ".archatlas-index.json"
_BATCH = 64
_PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


def list_files(root: Path) -> tuple[dict[str, Names], tuple[str, ...]]:
    """List the images of `train/`, `val/` (or `valid/`, `validation/`) and `test/`, or all as `train`.

    Returns:
        Files by part (`train`, and `validation` and `test` if they exist), and the class names, sorted.

    Raises:
        DataError: If there are no images, or a part has a class that training has not.
    """
    if not root.is_dir():
        raise DataError(f"No directory {root.resolve()}. Set `path` to a directory of class folders.")
    folders = _folders(root)
    divided = "train" in folders and set(folders) <= set(_PARTS) and bool(_folders(root / "train"))
    parts = {_PARTS[name]: root / name for name in folders} if divided else {"train": root}
    if divided and len(parts) < len(folders):
        raise DataError(f"{root} has more than one of val/, valid/ and validation/. Keep one.")
    class_names = tuple(_folders(parts["train"]))
    listed = {part: _files_of(root, folder, class_names) for part, folder in parts.items()}
    if not listed["train"].names:
        raise DataError(
            f"No images in the class folders of {parts['train'].resolve()}. Expected one folder per class, with files "
            f"ending in {', '.join(sorted(SUFFIXES))}."
        )
    return listed, class_names


def _folders(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files_of(root: Path, folder: Path, class_names: tuple[str, ...]) -> Names:
    if unknown := set(_folders(folder)) - set(class_names):
        raise DataError(
            f"{folder} has classes that training has not: {', '.join(sorted(unknown))}. Rename or add them."
        )
    pairs = [
        (path.relative_to(root).as_posix(), label)
        for label, name in enumerate(class_names)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    return Names(names=tuple(name for name, _ in pairs), labels=tuple(label for _, label in pairs))


def inspect_files(root: Path, names: Sequence[str], *, workers: int) -> dict[str, Found]:
    """Decode every file, or read from the index what an earlier run found.

    Args:
        root: The directory.
        names: Names relative to it.
        workers: Decoding processes.

    Returns:
        What was found, by name.
    """
    states = [(name, (root / name).stat()) for name in names]
    key = digest_of([json.dumps([(name, state.st_size, state.st_mtime_ns) for name, state in states]).encode()])
    found = _read_index(root / _INDEX, key)
    if found is None:
        batches = [names[first : first + _BATCH] for first in range(0, len(names), _BATCH)]
        results = in_workers(partial(_inspect_batch, root), batches, workers=workers)
        found = dict(zip(names, (result for batch in results for result in batch), strict=True))
        _write_index(root / _INDEX, key, found)
    return found


def _inspect_batch(root: Path, names: Sequence[str]) -> list[Found]:
    return [_inspect(root, name) for name in names]


def _inspect(root: Path, name: str) -> Found:
    try:
        picture = read_picture(root / name)
    except UnreadableError as error:
        return Found(error=str(error))
    return Found(grey=is_grey(picture), side=min(picture.size))


def _read_index(path: Path, key: str) -> dict[str, Found] | None:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path} is broken: {error}. Delete it; it is made again.") from error
    if content.get("key") != key:
        return None
    return {name: Found(grey=grey, side=side, error=error) for name, grey, side, error in content["files"]}


def _write_index(path: Path, key: str, found: dict[str, Found]) -> None:
    rows = [(name, result.grey, result.side, result.error) for name, result in found.items()]
    try:
        write_bytes(path, json.dumps({"key": key, "files": rows}).encode())
    except PermissionError:
        return  # a read-only directory is inspected anew each time
