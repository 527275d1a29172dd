"""Teachers of a distillation: a sub-network of the super-network, or a model of timm.

Legend: `B` images, `C` channels, `H` = `W` resolution, `K` classes.
"""

from __future__ import annotations

from itertools import islice

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm import create_model, is_model
from timm.data import resolve_model_data_config  # type: ignore[attr-defined]
from torch import nn
from torch.optim.swa_utils import update_bn

from archatlas.costs.macs import count_costs
from archatlas.data import ImageData
from archatlas.errors import ConfigError
from archatlas.records import Architecture
from archatlas.retraining.config import Distillation
from archatlas.spaces import ChainNetwork, ChainSpace
from archatlas.supernet import SuperNet

_BATCHES, _BATCH = 8, 256
"""Training images that the norms of a sub-network are recalibrated with."""


def largest(space: ChainSpace) -> Architecture:
    """Return the architecture with the operator of most MACs in every block."""
    return tuple(int(entry.argmax()) for entry in count_costs(space)["macs"].entries)


def supernet_teacher(supernet: SuperNet, data: ImageData, device: torch.device) -> ChainNetwork:
    """Return the largest sub-network, its BN statistics recalibrated on training images."""
    network = supernet.extract(largest(supernet.space)).to(device)
    batches = data.train.ordered(batch_size=_BATCH, device=device)
    update_bn((images for images, _ in islice(batches, _BATCHES)), network)
    return network


class TimmTeacher(nn.Module):
    """A model of timm that is given images normalised for this package's networks.

    Args:
        model: From timm.
        data: Whose normalisation the images have; the model gets its own.
    """

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, model: nn.Module, data: ImageData) -> None:
        super().__init__()
        self.model = model
        config = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
        mean, std = (torch.tensor(config[key]).expand(3)[: data.channels] for key in ("mean", "std"))
        self.register_buffer("scale", (torch.tensor(data.std) / std).view(1, -1, 1, 1))
        self.register_buffer("shift", ((torch.tensor(data.mean) - mean) / std).view(1, -1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits `(B, K)` of images `(B, C, H, W)`."""
        logits: torch.Tensor = self.model(images * self.scale + self.shift)
        return logits


def timm_teacher(config: Distillation, data: ImageData) -> TimmTeacher:
    """Return a model of timm with weights from a file, or timm's own where the settings ask for them.

    Raises:
        ConfigError: If timm has no such model, weights are missing or do not fit, or it knows other classes.
    """
    name = config.teacher
    if not is_model(name):
        raise ConfigError(f"retraining.distillation.teacher is {name!r}; expected supernet or a model of timm.")
    if (config.weights is None) != config.download:
        raise ConfigError(
            f"The teacher {name} needs weights: either `weights: FILE.safetensors` trained on your classes, or "
            "`download: true` for timm's own."
        )
    model: nn.Module
    if config.weights is None:
        model = create_model(name, pretrained=True, in_chans=data.channels)
    else:
        model = create_model(name, num_classes=data.num_classes, in_chans=data.channels)
        try:
            model.load_state_dict(load_file(config.weights))
        except (SafetensorError, OSError, RuntimeError) as error:
            raise ConfigError(f"{config.weights} holds no weights of {name} for this data: {error}") from None
    if model.num_classes != data.num_classes:
        raise ConfigError(
            f"The teacher {name} knows {model.num_classes} classes, the data has {data.num_classes}. Train it on your "
            "classes first and name its weights."
        )
    return TimmTeacher(model, data)


def load_teacher(
    config: Distillation, data: ImageData, *, supernet: SuperNet | None, device: torch.device
) -> nn.Module:
    """Return the teacher of the settings, ready to be asked.

    Raises:
        ConfigError: If it cannot be made, or does not take images of this size.
    """
    if config.teacher == "supernet":
        assert supernet is not None
        teacher: nn.Module = supernet_teacher(supernet, data, device)
    else:
        teacher = timm_teacher(config, data).to(device)
    teacher.eval().requires_grad_(False)
    try:
        teacher(torch.zeros(2, data.channels, data.resolution, data.resolution, device=device))
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"The teacher {config.teacher} does not take {data.resolution}x{data.resolution} images: {error}"
        ) from None
    return teacher
