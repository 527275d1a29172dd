"""Super-networks of nas-bench-macro for `archatlas bench macro`: trained, then every distinct network scored.

One directory per super-network, `WORK/SAMPLER-seedN`, with `supernet/` and `evaluations.sqlite`. Training continues
from its checkpoint, scoring from its last score.

Legend: `A` architectures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field

from archatlas.data import Augmentation, DataConfig, ImageData, load_data
from archatlas.errors import ArtifactMismatchError
from archatlas.evaluation import EvaluationConfig, Evaluator
from archatlas.files import read_json, write_json
from archatlas.records import Architectures, Evaluation, Floats, Monitor
from archatlas.spaces import ChainSpace
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.store import EvaluationStore
from archatlas.supernet import SuperNet, SuperNetConfig, load_supernet, train_supernet

Sampler = Literal["uniform", "fair", "sandwich"]


class SupernetsConfig(BaseModel):
    """How the super-networks of the benchmark are trained and scored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataConfig = Field(
        default=DataConfig(name="cifar10", resolution=16, train_images=30_000, validation_images=2_000)
    )
    epochs: int = Field(default=20, ge=1, description="of a sampler with one path an update; others get fewer")
    batch_size: int = Field(default=64, ge=2, description="images per update; few, as every path needs updates")
    evaluation: EvaluationConfig = Field(
        default=EvaluationConfig(recalibration_images=256, validation_images=1_000),
        description="scoring of sub-networks",
    )
    unrecalibrated: int = Field(default=500, ge=2, description="networks scored without BN recalibration as well")

    def training(self, sampler: Sampler) -> SuperNetConfig:
        """Return the settings of one training; strict-fair sampling trains three paths an update, so a third."""
        return SuperNetConfig(
            epochs=self.epochs if sampler == "uniform" else max(1, round(self.epochs / 3)),
            batch_size=self.batch_size,
            learning_rate=0.1,
            weight_decay=1e-4,
            warmup_epochs=min(1.0, self.epochs / 2),
            sampler=sampler,
            augmentation=Augmentation(flip=True),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """One-shot scores of one super-network.

    Args:
        sampler: Of its training.
        supernet_seed: Of its training.
        digest: Of its weights.
        losses: `(A,)`, in nats, with recalibrated BN.
        accuracies: `(A,)`, 0 to 1, with recalibrated BN.
        plain_rows: `(N,)`, the networks that were scored without recalibration too.
        plain_losses: `(N,)`.
        plain_accuracies: `(N,)`.
    """

    sampler: str
    supernet_seed: int
    digest: str
    losses: Floats
    accuracies: Floats
    plain_rows: np.ndarray
    plain_losses: Floats
    plain_accuracies: Floats


def score_supernet(
    architectures: Architectures,
    config: SupernetsConfig,
    *,
    sampler: Sampler,
    seed: int,
    work: Path,
    fabric: Fabric,
    monitor: Monitor,
) -> Scores:
    """Train one super-network, or take what `work` holds of it, and score `(A, L)` architectures with it.

    Args:
        architectures: Distinct networks of nas-bench-macro.
        config: Data, training, scoring.
        sampler: Which paths an update trains.
        seed: Of the training.
        work: Receives `SAMPLER-seedN/`.
        fabric: Device and precision.
        monitor: Told of training steps, then of scores.

    Raises:
        ArtifactMismatchError: If `work` holds a super-network of other data or of another training.
    """
    data = load_data(config.data)
    space = nas_bench_macro().for_task(
        in_channels=data.channels, num_classes=data.num_classes, resolution=data.resolution
    )
    directory = work / f"{sampler}-seed{seed}"
    supernet, digest = _trained(space, data, config, sampler, fabric, seed, directory / "supernet", monitor)
    store = EvaluationStore(directory / "evaluations.sqlite")

    def scored(rows: Architectures, **changed: int) -> list[Evaluation]:
        settings = config.evaluation.model_copy(update=changed)
        return Evaluator(supernet, digest, data, settings, store=store, device=fabric.device)(rows, monitor=monitor)

    recalibrated = scored(architectures)
    count = min(config.unrecalibrated, len(architectures))
    rows = np.sort(np.random.default_rng(0).choice(len(architectures), count, replace=False))
    plain = scored(architectures[rows], recalibration_images=0)
    return Scores(
        sampler=sampler,
        supernet_seed=seed,
        digest=digest,
        losses=np.array([evaluation.loss for evaluation in recalibrated]),
        accuracies=np.array([evaluation.accuracy for evaluation in recalibrated]),
        plain_rows=rows,
        plain_losses=np.array([evaluation.loss for evaluation in plain]),
        plain_accuracies=np.array([evaluation.accuracy for evaluation in plain]),
    )


def _trained(
    space: ChainSpace,
    data: ImageData,
    config: SupernetsConfig,
    sampler: Sampler,
    fabric: Fabric,
    seed: int,
    directory: Path,
    monitor: Monitor,
) -> tuple[SuperNet, str]:
    training = config.training(sampler)
    asked = training.model_dump(mode="json") | {"data": data.digest}
    path = directory / "training.json"
    if not path.is_file() and not (directory / "supernet.json").is_file():
        write_json(path, asked)
    held = read_json(path)
    if changed := [f"{key} {held.get(key)}, not {value}" for key, value in asked.items() if held.get(key) != value]:
        raise ArtifactMismatchError(
            f"{directory} holds a super-network trained with {'; '.join(changed)}. Name another folder with --work."
        )
    if not (directory / "supernet.json").is_file():
        train_supernet(space, data, training, fabric=fabric, seed=seed, directory=directory, monitor=monitor)
    return load_supernet(space, directory)
