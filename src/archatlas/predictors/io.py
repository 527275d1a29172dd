"""Loading fitted predictors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from archatlas.errors import ArtifactMismatchError
from archatlas.predictors.artifacts import Artifact, read_artifact
from archatlas.predictors.base import FittedPredictor, WindowedPredictor
from archatlas.predictors.baselines import REGRESSORS, read_regressor
from archatlas.predictors.calibration import BASE as ONE_SHOT
from archatlas.predictors.calibration import KIND as CALIBRATED
from archatlas.predictors.calibration import read_calibration
from archatlas.predictors.global_gcn import KIND as GLOBAL_GCN
from archatlas.predictors.global_gcn import read_global_gcn
from archatlas.predictors.global_gp import KIND as GLOBAL_GP
from archatlas.predictors.global_gp import read_global_gp
from archatlas.predictors.windows import read_windows
from archatlas.spaces import SpaceGraph

_READERS: dict[str, Callable[[Artifact, SpaceGraph], FittedPredictor]] = {
    "window_gcn": read_windows,
    "window_gp": read_windows,
    "ridge": read_windows,
    GLOBAL_GP: read_global_gp,
    GLOBAL_GCN: read_global_gcn,
    **dict.fromkeys(REGRESSORS, read_regressor),
}


def load(directory: Path, graph: SpaceGraph) -> FittedPredictor:
    """Load what a fitted predictor's `save` wrote; it answers exactly as before.

    Args:
        directory: Where it was saved.
        graph: The space it shall answer for.

    Raises:
        DataError: If the files are missing or damaged.
        ArtifactMismatchError: If it was fitted on another space, or by a version with other predictors.
    """
    artifact = read_artifact(directory, graph)
    if artifact.kind == CALIBRATED:
        base = load(directory / ONE_SHOT, graph)
        assert isinstance(base, WindowedPredictor)
        return read_calibration(artifact, base)
    if artifact.kind not in _READERS:
        raise ArtifactMismatchError(
            f"{directory} holds a predictor {artifact.kind!r}; this version knows {', '.join(_READERS)}."
        )
    return _READERS[artifact.kind](artifact, graph)
