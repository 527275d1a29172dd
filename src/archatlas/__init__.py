"""Fit the search space of weight-sharing NAS once, then ask it anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch takes seconds to import
    from torch import nn

__all__ = ["load"]


def load(path: str | os.PathLike[str], *, space: str | os.PathLike[str] | None = None) -> nn.Module:
    """Return an exported network as a plain module, in evaluation mode, on the CPU.

    It takes normalised images `(B, C, R, R)` and gives logits `(B, classes)`; `mean`, `std`, `resolution`, `channels`
    and `class_names` are in the `.json` file. `torch.compile` and `torch.export` work on it.

    Args:
        path: The `.json` file that `archatlas export` wrote, with its `.safetensors` beside it, or their directory.
        space: The `.py` or `.yaml` file of the space, for a network of a user's own space. Its code is run, so it has
            to be named; a network of a built-in space needs none.

    Raises:
        ArtifactMismatchError: If the files are missing or broken, or the space no longer builds this network.
        ConfigError: If the network belongs to a user's own space and `space` is not given.
    """
    from archatlas.exporting.loading import load_network

    return load_network(Path(path), None if space is None else os.fspath(space))
