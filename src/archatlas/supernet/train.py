"""Training of the super-network: the shared loop, with sampled paths as forwards."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from lightning_fabric import Fabric
from pydantic import Field

from archatlas.data import Augmentation, ImageData
from archatlas.errors import ArtifactMismatchError
from archatlas.files import read_header, write_json
from archatlas.records import Monitor
from archatlas.spaces import ChainSpace
from archatlas.supernet.model import SuperNet
from archatlas.supernet.sampling import SAMPLERS
from archatlas.training import Forward, TrainingConfig, load_weights, save_weights, seeded, train

FORMAT = 1


class SuperNetConfig(TrainingConfig):
    """How the super-network is trained."""

    sampler: Literal["uniform", "fair", "sandwich"] = Field(
        default="uniform", description="which paths one update trains: uniform = one random path, fair = the paper's"
    )
    augmentation: Augmentation | None = Field(
        default=None,
        description="of the super-network alone: crops slow short trainings down; null = data.augmentation",
    )


def train_supernet(
    space: ChainSpace,
    data: ImageData,
    config: SuperNetConfig,
    *,
    fabric: Fabric,
    seed: int,
    directory: Path,
    monitor: Monitor,
) -> SuperNet:
    """Train a super-network, or continue the training that `directory` holds, and write its weights there.

    Args:
        space: The space, adapted to the data.
        data: Only its training images are used.
        config: Optimiser, schedule, paths.
        fabric: Device, precision and processes.
        seed: Of weights, paths and order of images.
        directory: Receives `checkpoint.pt` on the way, `weights.safetensors` and `supernet.json` at the end.
        monitor: Told of every step.
    """
    with seeded(seed):
        supernet = SuperNet(space)
    sampler = SAMPLERS[config.sampler]

    def forwards(step: int) -> list[Forward]:
        paths = sampler(space, np.random.default_rng((seed, step)))
        return [partial(supernet, architecture=path) for path in paths]

    split = data.train if config.augmentation is None else data.train.augmented(**config.augmentation.model_dump())
    history = train(supernet, forwards, split, config, fabric=fabric, seed=seed, directory=directory, monitor=monitor)
    if fabric.is_global_zero:
        save_weights(supernet, directory / "weights.safetensors")
        digest = hashlib.sha256((directory / "weights.safetensors").read_bytes()).hexdigest()[:12]
        header = {
            "format": FORMAT,
            "space": space.digest,
            "data": data.digest,
            "weights": digest,
            "history": history,
        }
        write_json(directory / "supernet.json", header)
    fabric.barrier()
    return supernet


def load_supernet(space: ChainSpace, directory: Path) -> tuple[SuperNet, str]:
    """Return a trained super-network and the digest of its weights.

    Raises:
        ArtifactMismatchError: If there is none, or it is one of another space.
    """
    digest = weights_digest(space, directory)
    supernet = SuperNet(space)
    load_weights(supernet, directory / "weights.safetensors")
    return supernet, digest


def weights_digest(space: ChainSpace, directory: Path) -> str:
    """Return the digest of the weights of a trained super-network; raises as `load_supernet`."""
    header = read_header(directory / "supernet.json", FORMAT, ("space", "weights"))
    if header["space"] != space.digest:
        raise ArtifactMismatchError(
            f"The super-network in {directory} belongs to space {header['space']}, not to {space.name} "
            f"({space.digest}); use its own configuration or another run directory."
        )
    return str(header["weights"])
