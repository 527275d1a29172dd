"""Space and images of a run, as a worker on another machine finds them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from archatlas.data import DataConfig, ImageData, load_data
from archatlas.errors import ArtifactMismatchError
from archatlas.spaces import ChainSpace
from archatlas.spaces.user import BUILT_IN, load_space


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Where space and images lie; files must lie at the same path on every machine.

    Args:
        space: As `load_space` takes it.
        data: As `load_data` takes it.
        digest: Of the images of the run.
    """

    space: str
    data: DataConfig
    digest: str

    def absolute(self) -> Task:
        """Return the task with absolute paths: workers do not run in this directory."""
        space = self.space if self.space in BUILT_IN else str(Path(self.space).expanduser().resolve())
        data = self.data.model_copy(update={"path": self.data.path.resolve()})
        return Task(space=space, data=data, digest=self.digest)

    def load(self) -> tuple[ChainSpace, ImageData]:
        """Load the space, adapted to the images, and the images.

        Raises:
            ArtifactMismatchError: If the images here are not those of the run.
        """
        data = load_data(self.data)
        if data.digest != self.digest:
            raise ArtifactMismatchError(
                f"The images at {self.data.path} on {os.uname().nodename} are not those of the run ({data.digest}, "
                f"expected {self.digest}); lay the same files at the same path on every machine."
            )
        space = load_space(self.space).for_task(
            in_channels=data.channels, num_classes=data.num_classes, resolution=data.resolution
        )
        return space, data
