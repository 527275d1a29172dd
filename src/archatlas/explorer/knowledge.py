"""What a directory holds of a space: the atlas, and whatever was measured or trained beside it. Nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from archatlas.atlas import EnumeratedAtlas, FactoredAtlas, load_atlas
from archatlas.config import Config, load_config, parse_config
from archatlas.errors import ConfigError
from archatlas.records import Architecture, Evaluation
from archatlas.reporting.reading import read_evaluations
from archatlas.retraining import RetrainResult, load_result
from archatlas.spaces.user import BUILT_IN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Knowledge:
    """An atlas with what is known besides.

    Args:
        path: The directory.
        atlas: Predicted scores and costs of every network.
        config: The settings of the run; of a fit without a run, those that its built-in space starts from; None where
            neither is known.
        is_run: Whether the directory is that of a run, so that `archatlas retrain` works on it.
        measured: One-shot scores of the run's super-network.
        stand_alone: The network that the run trained on its own, if it did.
    """

    path: Path
    atlas: FactoredAtlas | EnumeratedAtlas
    config: Config | None
    is_run: bool
    measured: Mapping[Architecture, Evaluation]
    stand_alone: RetrainResult | None


def load_knowledge(path: Path) -> Knowledge:
    """Read a run directory, finished or not, or the directory of `archatlas fit --table`.

    Raises:
        ConfigError: If there is no such directory.
        ArtifactMismatchError: If it holds no atlas, or a damaged one.
        StorageError: If the scores cannot be read.
    """
    if not path.is_dir():
        raise ConfigError(f"{path} is no run directory.")
    atlas = load_atlas(path / "atlas")
    settings = path / "config.yaml"
    config = load_config(settings) if settings.exists() else _preset(atlas.graph.name)
    trained = (path / "network" / "network.json").exists()
    return Knowledge(
        path=path,
        atlas=atlas,
        config=config,
        is_run=settings.exists(),
        measured=read_evaluations(path, config.evaluation) if config is not None and settings.exists() else {},
        stand_alone=load_result(path / "network") if trained else None,
    )


def _preset(space: str) -> Config | None:
    return parse_config({"space": space}, source=f"the preset of {space}") if space in BUILT_IN else None
