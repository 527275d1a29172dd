"""The chosen architecture, trained from scratch and tested once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric
from pydantic import Field
from safetensors.torch import load_file, save_file

from archatlas.data import ImageData
from archatlas.errors import ArtifactMismatchError
from archatlas.files import atomic_path, read_json, write_json
from archatlas.records import Architecture, Monitor, format_architecture, parse_architecture
from archatlas.spaces import ChainNetwork, ChainSpace
from archatlas.training import TrainingConfig, measure, seeded, train


class RetrainingConfig(TrainingConfig):
    """How the chosen network is trained."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1, description="of the cross-entropy")
    ema_decay: float | None = Field(default=0.999, gt=0, lt=1, description="keep an average of the weights, null = off")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainResult:
    """What retraining gives.

    Args:
        architecture: The network.
        validation_accuracy: 0 to 1.
        test_accuracy: 0 to 1, measured once, after the last step.
        test_loss: Mean cross-entropy on the test images, in nats.
        test_images: Number of test images.
    """

    architecture: Architecture
    validation_accuracy: float
    test_accuracy: float
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
) -> RetrainResult:
    """Train an architecture from scratch, or continue the training in `directory`, and test it once.

    `directory` ends with `weights.safetensors` and `network.json`.
    """
    with seeded(seed):
        network = space.build(architecture)
    history = train(
        network,
        lambda _: [network],
        data.train,
        config,
        fabric=fabric,
        seed=seed,
        directory=directory,
        monitor=monitor,
    )
    _, validation_accuracy = measure(network, data.validation, fabric=fabric)
    test_loss, test_accuracy = measure(network, data.test, fabric=fabric)
    result = RetrainResult(
        architecture=architecture,
        validation_accuracy=validation_accuracy,
        test_accuracy=test_accuracy,
        test_loss=test_loss,
        test_images=len(data.test),
    )
    if fabric.is_global_zero:
        weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        with atomic_path(directory / "weights.safetensors") as temporary:
            save_file(weights, temporary)
        header = {
            "format": 1,
            "space": space.digest,
            "architecture": format_architecture(architecture),
            "validation_accuracy": validation_accuracy,
            "test_accuracy": test_accuracy,
            "test_loss": test_loss,
            "test_images": len(data.test),
            "history": history,
        }
        write_json(directory / "network.json", header)
    fabric.barrier()
    return result


def load_result(directory: Path) -> RetrainResult:
    """Return what `retrain` found, from its files."""
    header = read_json(directory / "network.json")
    return RetrainResult(
        architecture=parse_architecture(header["architecture"]),
        **{name: header[name] for name in ("validation_accuracy", "test_accuracy", "test_loss", "test_images")},
    )


def load_network(space: ChainSpace, directory: Path) -> ChainNetwork:
    """Return a retrained network in evaluation mode.

    Raises:
        ArtifactMismatchError: If there is none, or it belongs to another space.
    """
    header = read_json(directory / "network.json")
    if header["space"] != space.digest:
        raise ArtifactMismatchError(
            f"The network in {directory} belongs to space {header['space']}, not to {space.name} ({space.digest})."
        )
    network = space.build(parse_architecture(header["architecture"]))
    network.load_state_dict(load_file(directory / "weights.safetensors"))
    return network.eval()
