"""How good a network is on the images of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from archatlas.data import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How good a network is on a split.

    Args:
        loss: Mean cross-entropy, in nats.
        accuracy: Share of images classified correctly, 0 to 1.
        balanced_accuracy: Mean over classes of the share of their images classified correctly, 0 to 1: small classes
            count as much as large ones. Classes without images do not count.
        num_images: Number of images.
    """

    loss: float
    accuracy: float
    balanced_accuracy: float
    num_images: int


@torch.inference_mode()
def measure(network: nn.Module, split: Split, *, fabric: Fabric, batch_size: int = 512) -> Measurement:
    """Measure a network on a split, in evaluation mode."""
    network.eval()
    loss, predicted = 0.0, []
    for images, labels in split.ordered(batch_size=batch_size, device=fabric.device):
        with fabric.autocast():
            logits = network(images.contiguous(memory_format=torch.channels_last)).float()
        loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        predicted.append(logits.argmax(1).cpu().numpy())
    correct = np.concatenate(predicted) == split.labels
    count, right = np.bincount(split.labels), np.bincount(split.labels, weights=correct)
    return Measurement(
        loss=loss / len(split),
        accuracy=int(correct.sum()) / len(split),
        balanced_accuracy=float((right[count > 0] / count[count > 0]).mean()),
        num_images=len(split),
    )
