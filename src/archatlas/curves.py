"""The curves of a training as CSV or for TensorBoard, through Lightning Fabric's loggers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from lightning_fabric.loggers import CSVLogger, Logger, TensorBoardLogger  # type: ignore[attr-defined]

LogFormat = Literal["none", "csv", "tensorboard"]
_FOLDER = "log"


class Curves:
    """Writes one point per epoch into the folder `log`, anew whenever a training is continued.

    So the curves of a stopped and continued training have no gap and no point twice.

    Args:
        kind: `none` writes nothing.
        directory: Of the training.
        points: Epochs that are done.
    """

    def __init__(self, kind: LogFormat, directory: Path, points: Sequence[Mapping[str, float]]) -> None:
        self._logger = _open(kind, directory)
        for point in points:
            self.add(point)

    def add(self, point: Mapping[str, float]) -> None:
        """Write the figures of an epoch; `epoch` numbers it."""
        if self._logger is not None:
            figures = {name: value for name, value in point.items() if name != "epoch"}
            self._logger.log_metrics(figures, step=int(point["epoch"]))

    def close(self) -> None:
        """Write what is left to write."""
        if self._logger is not None:
            self._logger.finalize("success")


def _open(kind: LogFormat, directory: Path) -> Logger | None:
    if kind == "none":
        return None
    shutil.rmtree(directory / _FOLDER, ignore_errors=True)
    if kind == "csv":
        return CSVLogger(directory, name=_FOLDER, version="", flush_logs_every_n_steps=1)
    return TensorBoardLogger(directory, name=_FOLDER, version="")
