"""What a worker needs to train networks stand-alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from lightning_fabric import Fabric

from archatlas.data import ImageData
from archatlas.records import Architectures, Evaluation, format_architecture, silent
from archatlas.retraining import RetrainingConfig, train_and_score
from archatlas.spaces import ChainSpace
from archatlas.workers.pool import Work
from archatlas.workers.task import Task


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trainings:
    """Stand-alone trainings with one set of settings (a `Subject`).

    Args:
        task: Space and images.
        settings: Of each training.
        precision: Fabric's word for it.
        seed: Of each training.
        directory: Holds a directory of checkpoints per network. A machine that sees it continues what a lost worker
            began; any other one begins anew, in a directory of its own.
    """

    task: Task
    settings: RetrainingConfig
    precision: str
    seed: int
    directory: Path

    def start(self, device: torch.device) -> Work:
        """Load space and images; a job is networks to train one after the other.

        Raises:
            ArtifactMismatchError: If the images here are not those of the run.
        """
        space, data = self.task.load()
        fabric = Fabric(accelerator=device.type, devices=1, precision=self.precision)  # type: ignore[arg-type]
        fabric.launch()
        return partial(self._trained, space, data, fabric)

    def _trained(self, space: ChainSpace, data: ImageData, fabric: Fabric, rows: Architectures) -> Iterator[Evaluation]:
        for architecture in map(tuple, rows.tolist()):
            with self._directory(format_architecture(architecture)) as directory:
                yield train_and_score(
                    space,
                    architecture,
                    data,
                    self.settings,
                    fabric=fabric,
                    seed=self.seed,
                    directory=directory,
                    monitor=silent,
                )

    @contextmanager
    def _directory(self, name: str) -> Iterator[Path]:
        if self.directory.is_dir():
            yield self.directory / name
            return
        with TemporaryDirectory(prefix="archatlas-") as own:
            yield Path(own)
