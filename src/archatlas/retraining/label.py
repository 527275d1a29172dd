"""The true score of an architecture: its own training, measured on the validation images."""

from __future__ import annotations

from pathlib import Path

from lightning_fabric import Fabric

from archatlas.data import ImageData
from archatlas.measurement import measure
from archatlas.records import Architecture, Evaluation, Monitor
from archatlas.retraining.config import RetrainingConfig
from archatlas.retraining.train import train_network
from archatlas.spaces import ChainSpace


def train_and_score(
    space: ChainSpace,
    architecture: Architecture,
    data: ImageData,
    config: RetrainingConfig,
    *,
    fabric: Fabric,
    seed: int,
    directory: Path,
    monitor: Monitor,
) -> Evaluation:
    """Train an architecture stand-alone, or continue the training in `directory`, and score it.

    Args:
        space: The space, adapted to the data.
        architecture: One of its networks.
        data: Images to train on, and to validate with.
        config: Recipe, optimiser, schedule, length.
        fabric: Device, precision and processes.
        seed: Of weights, order, augmentation and mixing of images.
        directory: Receives checkpoints.
        monitor: Told of every step.

    Returns:
        Loss and accuracy of the trained network on the validation images.
    """
    network, _ = train_network(
        space, architecture, data, config, fabric=fabric, seed=seed, directory=directory, monitor=monitor
    )
    measured = measure(network, data.validation, fabric=fabric)
    return Evaluation(
        architecture=architecture, loss=measured.loss, accuracy=measured.accuracy, num_images=measured.num_images
    )
