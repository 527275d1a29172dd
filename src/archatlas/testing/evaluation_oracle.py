"""One sub-network at a time: the slow and obvious evaluation that the walk must equal.

The BN layers of a sub-network take the statistics of the reference images (mean and biased variance of the whole batch,
layer after layer), then it classifies the validation images in evaluation mode.

Legend: `R` reference images, `V` validation images.
"""

from __future__ import annotations

import copy
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


class Loop:
    """Evaluates sub-networks of one super-network, each on its own; works on a copy.

    Args:
        supernet: The super-network.
        images: What is seen.
        precision: `float32` or `bfloat16`.
        batch_size: Validation images in a batch.
    """

    def __init__(
        self, supernet: SuperNet, images: Images, *, precision: str = "float32", batch_size: int = 512
    ) -> None:
        self.images, self.batch_size = images, batch_size
        self.lower, self.device = precision == "bfloat16", images.labels.device
        self.supernet = copy.deepcopy(supernet).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, architecture: Architecture) -> Evaluation:
        """Return the evaluation of one architecture; nothing of an earlier one is left in it."""
        modules = [self.supernet.operator(block, choice) for block, choice in enumerate(architecture)]
        network = ChainNetwork(self.supernet.stem, modules, self.supernet.head)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, self.lower):
            recalibrate(network, self.images.reference)
            loss, correct = _classify(network, self.images, self.batch_size)
        count = len(self.images.labels)
        return Evaluation(architecture=architecture, loss=loss / count, accuracy=correct / count, num_images=count)


def recalibrate(network: ChainNetwork, reference: torch.Tensor) -> None:
    """Set the statistics of every BN layer to those of the reference images, in place; leaves evaluation mode."""
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    sizes: dict[nn.Module, int] = {}

    def note(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes[norm] = inputs[0].numel() // inputs[0].shape[1]

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the running statistics become those of this batch
        norm.train()
    network(reference)
    for norm, hook in zip(norms, hooks, strict=True):
        assert norm.running_var is not None
        # torch records the unbiased variance, but has normalised by the biased one
        norm.running_var.mul_((sizes[norm] - 1) / sizes[norm])
        norm.eval()
        hook.remove()


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
