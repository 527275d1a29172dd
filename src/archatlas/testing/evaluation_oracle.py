"""One sub-network at a time: the slow and obvious evaluation that the walk must equal.

A sub-network is copied out of the super-network, its BN layers take the statistics of the reference images (mean and
biased variance of the whole batch, layer after layer), then it classifies the validation images in evaluation mode.

Legend: `R` reference images, `V` validation images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from archatlas.data import ImageData, Split
from archatlas.evaluation import EvaluationConfig
from archatlas.records import Architecture, Evaluation
from archatlas.spaces import ChainNetwork
from archatlas.supernet import SuperNet


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """What every sub-network sees, read once.

    Args:
        reference: `(R, C, H, W)`.
        validation: `(V, C, H, W)`.
        labels: `(V,)`.
    """

    reference: torch.Tensor
    validation: torch.Tensor
    labels: torch.Tensor


def read_images(data: ImageData, config: EvaluationConfig, device: torch.device) -> Images:
    """Read the images that an evaluation with `config` uses."""
    reference, _ = _first(data.train, config.recalibration_images, device)
    validation, labels = _first(data.validation, config.validation_images or len(data.validation), device)
    return Images(reference=reference, validation=validation, labels=labels)


def loop(
    supernet: SuperNet,
    architectures: Iterable[Architecture],
    images: Images,
    *,
    precision: str = "float32",
    batch_size: int = 512,
) -> Iterator[Evaluation]:
    """Yield the evaluation of each architecture, each on its own."""
    for architecture in architectures:
        network = supernet.extract(architecture).to(images.labels.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.inference_mode(), torch.autocast(images.labels.device.type, torch.bfloat16, precision == "bfloat16"):
            recalibrate(network, images.reference)
            loss, correct = _classify(network, images, batch_size)
        count = len(images.labels)
        yield Evaluation(architecture=architecture, loss=loss / count, accuracy=correct / count, num_images=count)


def recalibrate(network: ChainNetwork, reference: torch.Tensor) -> None:
    """Set the statistics of every BN layer to those of the reference images, in place; leaves evaluation mode."""
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0  # the running statistics become those of this batch
        norm.train()
        norm.register_forward_pre_hook(_note_size)
    network(reference)
    for norm in norms:
        assert norm.running_var is not None
        size = int(norm.sample_size)  # type: ignore[arg-type]
        norm.running_var.mul_((size - 1) / size)  # torch records the unbiased variance, but normalised by the biased
        norm.eval()


def _note_size(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    norm.sample_size = inputs[0].numel() // inputs[0].shape[1]  # type: ignore[assignment]


def _classify(network: ChainNetwork, images: Images, batch_size: int) -> tuple[float, int]:
    """Return the summed loss and the number of correct answers."""
    loss, correct = 0.0, 0
    for start in range(0, len(images.labels), batch_size):
        labels = images.labels[start : start + batch_size]
        logits = network(images.validation[start : start + batch_size]).float()
        loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        correct += int((logits.argmax(1) == labels).sum())
    return loss, correct


def _first(split: Split, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = list(split.ordered(batch_size=512, stop=count, device=device))
    images = torch.cat([images for images, _ in pairs]).contiguous(memory_format=torch.channels_last)
    return images, torch.cat([labels for _, labels in pairs])
