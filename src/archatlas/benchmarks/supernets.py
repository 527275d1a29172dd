"""Super-networks of nas-bench-macro for `archatlas bench macro`: trained, then every distinct network scored.

One directory per super-network, `WORK/SAMPLER-seedN`, with `supernet/` and `evaluations.sqlite`. Training continues
from its checkpoint, scoring from its last score.

Legend: `A` architectures, `V` validation images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from archatlas.data import Augmentation, DataConfig, ImageData, load_data
from archatlas.errors import ArtifactMismatchError
from archatlas.evaluation import EvaluationConfig, Evaluator
from archatlas.files import read_json, write_json
from archatlas.records import Architectures, Evaluation, Floats, Monitor
from archatlas.spaces import ChainSpace
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.store import EvaluationStore, Scope
from archatlas.supernet import SuperNet, SuperNetConfig, load_supernet, train_supernet

_SLICE = 64
"""Images that go through a module together: what fits a CPU's caches."""

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
    evaluator = Evaluator(supernet, digest, data, config.evaluation, store=store, device=fabric.device)
    recalibrated = evaluator(architectures, monitor=monitor)
    count = min(config.unrecalibrated, len(architectures))
    rows = np.sort(np.random.default_rng(0).choice(len(architectures), count, replace=False))
    plain = _unrecalibrated(supernet, architectures[rows], data, evaluator, fabric.device, monitor)
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
    if not path.is_file():
        write_json(path, asked)
    held = read_json(path)
    if changed := [f"{key} {held.get(key)}, not {value}" for key, value in asked.items() if held.get(key) != value]:
        raise ArtifactMismatchError(
            f"{directory} holds a super-network trained with {'; '.join(changed)}. Name another folder with --work."
        )
    if not (directory / "supernet.json").is_file():
        train_supernet(space, data, training, fabric=fabric, seed=seed, directory=directory, monitor=monitor)
    return load_supernet(space, directory)


def _unrecalibrated(
    supernet: SuperNet,
    rows: Architectures,
    data: ImageData,
    evaluator: Evaluator,
    device: torch.device,
    monitor: Monitor,
) -> list[Evaluation]:
    """Score `(A, L)` with the running BN statistics of the super-network, which mix all paths; stored like others."""
    scope = Scope(
        supernet=evaluator.scope.supernet, data=evaluator.scope.data, settings=f"plain-{evaluator.scope.settings}"
    )
    known = evaluator.store.all(scope)
    missing = np.unique([row for row in rows.tolist() if tuple(row) not in known], axis=0).reshape(-1, rows.shape[1])
    limit = evaluator.config.validation_images or len(data.validation)
    batches = list(data.validation.ordered(batch_size=_SLICE, stop=limit, device=device))
    images, labels = (torch.cat(part) for part in zip(*batches, strict=True))
    supernet = supernet.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=evaluator.config.precision == "bfloat16")
    with torch.inference_mode(), autocast:
        walk = _walk(supernet, missing, images.contiguous(memory_format=torch.channels_last))
        for done, (row, logits) in enumerate(walk, start=1):
            evaluation = Evaluation(
                architecture=tuple(row),
                loss=float(nn.functional.cross_entropy(logits, labels)),
                accuracy=float((logits.argmax(1) == labels).double().mean()),
                num_images=len(labels),
            )
            evaluator.store.add(scope, evaluation)
            monitor(done, len(missing))
    known = evaluator.store.all(scope)
    return [known[tuple(row)] for row in rows.tolist()]


def _walk(supernet: SuperNet, rows: np.ndarray, images: torch.Tensor) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Yield each of the sorted rows with its logits `(V, classes)`; rows that begin alike share the work."""
    features, before = [_apply(supernet.stem, images)], [-1] * rows.shape[1]
    for row in rows.tolist():
        common = next(i for i, (a, b) in enumerate(zip(row, before, strict=True)) if a != b)
        del features[common + 1 :]
        for depth in range(common, len(row)):
            features.append(_apply(supernet.operator(depth, row[depth]), features[-1]))
        yield row, _apply(supernet.head, features[-1]).float()
        before = row


def _apply(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return torch.cat([module(part) for part in torch.split(images, _SLICE)])
