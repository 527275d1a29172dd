"""Training and testing the chosen architecture."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import nn

from archatlas.data import ImageData
from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.files import read_header, write_json
from archatlas.measurement import measure
from archatlas.objective import Objective
from archatlas.records import Architecture, Monitor, format_architecture, parse_architecture
from archatlas.retraining.config import RetrainingConfig
from archatlas.retraining.teachers import load_teacher
from archatlas.spaces import ChainNetwork, ChainSpace
from archatlas.supernet import SuperNet
from archatlas.training import Epoch, load_weights, save_weights, seeded, train

FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainResult:
    """What retraining gives.

    Args:
        architecture: The network.
        validation_accuracy: 0 to 1.
        validation_balanced_accuracy: Mean over classes of the share of their images classified correctly.
        test_accuracy: 0 to 1, measured once, after the last step.
        test_balanced_accuracy: Likewise.
        test_loss: Mean cross-entropy on the test images, in nats.
        test_images: Number of test images.
    """

    architecture: Architecture
    validation_accuracy: float
    validation_balanced_accuracy: float
    test_accuracy: float
    test_balanced_accuracy: float
    test_loss: float
    test_images: int


def retrain(
    space: ChainSpace,
    architecture: Architecture,
    data: ImageData,
    config: RetrainingConfig,
    *,
    fabric: Fabric,
    seed: int,
    directory: Path,
    monitor: Monitor,
    supernet: SuperNet | None = None,
) -> RetrainResult:
    """Train an architecture, or continue the training in `directory`, and test it once.

    `directory` ends with `weights.safetensors` and `network.json`.

    Args:
        space: The space, adapted to the data.
        architecture: One of its networks.
        data: All three splits are used.
        config: Recipe, optimiser, schedule, length.
        fabric: Device, precision and processes.
        seed: Of weights, order, augmentation and mixing of images.
        directory: Receives checkpoints on the way.
        monitor: Told of every step.
        supernet: The trained super-network, where `config.needs_supernet`.

    Raises:
        ConfigError: If the settings need a super-network and there is none, or name a teacher that cannot be used.
    """
    if config.needs_supernet and supernet is None:
        raise ConfigError("`init: inherited` and the teacher supernet need a trained super-network: archatlas train.")
    teacher = None
    if config.distillation is not None:
        teacher = load_teacher(config.distillation, data, supernet=supernet, device=fabric.device)
    network, history = train_network(
        space,
        architecture,
        data,
        config,
        fabric=fabric,
        seed=seed,
        directory=directory,
        monitor=monitor,
        source=supernet if config.init == "inherited" else None,
        teacher=teacher,
    )
    result = _tested(architecture, network, data, fabric)
    if fabric.is_global_zero:
        save_weights(network, directory / "weights.safetensors")
        header = {"format": FORMAT, "space": space.digest}
        header |= asdict(result) | {"architecture": format_architecture(architecture)}
        if teacher is not None:
            header["teacher_validation_accuracy"] = measure(teacher, data.validation, fabric=fabric).accuracy
        write_json(directory / "network.json", header | {"history": history})
    fabric.barrier()
    return result


def train_network(
    space: ChainSpace,
    architecture: Architecture,
    data: ImageData,
    config: RetrainingConfig,
    *,
    fabric: Fabric,
    seed: int,
    directory: Path,
    monitor: Monitor,
    source: SuperNet | None = None,
    teacher: nn.Module | None = None,
) -> tuple[ChainNetwork, list[Epoch]]:
    """Train an architecture on the training images, or continue the training in `directory`.

    Args:
        space: The space, adapted to the data.
        architecture: One of its networks.
        data: Only its training images are used.
        config: Recipe, optimiser, schedule, length.
        fabric: Device, precision and processes.
        seed: Of weights, order, augmentation and mixing of images.
        directory: Receives checkpoints.
        monitor: Told of every step.
        source: Gives the first weights; None: random ones.
        teacher: Of the distillation.

    Returns:
        The network and one record per epoch.
    """
    with seeded(seed):
        network = space.build(architecture, drop_path=config.recipe.drop_path)
    if source is not None:
        network.load_state_dict(source.extract(architecture).state_dict())
    history = train(
        network,
        lambda _: [network],
        data.train.augmented(**config.recipe.augmentation),
        config,
        fabric=fabric,
        seed=seed,
        directory=directory,
        monitor=monitor,
        objective=_objective(config, data, teacher),
    )
    return network, history


def _objective(config: RetrainingConfig, data: ImageData, teacher: nn.Module | None) -> Objective:
    distillation = config.distillation
    return Objective(
        label_smoothing=config.label_smoothing,
        mixup=config.recipe.mixup,
        cutmix=config.recipe.cutmix,
        num_classes=data.num_classes,
        teacher=teacher,
        weight=0.0 if distillation is None else distillation.weight,
        temperature=1.0 if distillation is None else distillation.temperature,
    )


def _tested(architecture: Architecture, network: nn.Module, data: ImageData, fabric: Fabric) -> RetrainResult:
    validation = measure(network, data.validation, fabric=fabric)
    test = measure(network, data.test, fabric=fabric)
    return RetrainResult(
        architecture=architecture,
        validation_accuracy=validation.accuracy,
        validation_balanced_accuracy=validation.balanced_accuracy,
        test_accuracy=test.accuracy,
        test_balanced_accuracy=test.balanced_accuracy,
        test_loss=test.loss,
        test_images=test.num_images,
    )


def load_result(directory: Path) -> RetrainResult:
    """Return what `retrain` found, from its files."""
    header = _read_header(directory)
    figures = {field.name: header[field.name] for field in fields(RetrainResult)}
    return RetrainResult(**figures | {"architecture": parse_architecture(header["architecture"])})


def load_network(space: ChainSpace, directory: Path) -> ChainNetwork:
    """Return a retrained network in evaluation mode.

    Raises:
        ArtifactMismatchError: If there is none, or it belongs to another space.
    """
    header = _read_header(directory)
    if header["space"] != space.digest:
        raise ArtifactMismatchError(
            f"The network in {directory} belongs to space {header['space']}, not to {space.name} ({space.digest})."
        )
    network = space.build(parse_architecture(header["architecture"]))
    load_weights(network, directory / "weights.safetensors")
    return network.eval()


def _read_header(directory: Path) -> dict[str, Any]:
    required = ["space", *(field.name for field in fields(RetrainResult))]
    return read_header(directory / "network.json", FORMAT, required)
