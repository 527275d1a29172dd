"""Augmentation and normalisation of whole batches by tensor operations, on the device.

Legend: `B` images of a batch, `C` channels, `H` = `W` resolution.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from archatlas.data.config import Augmentation


class Normalisation:
    """Turns uint8 images into float32 with mean 0 and deviation 1 per channel.

    Args:
        mean: Per channel, as fraction of 255.
        std: Per channel, as fraction of 255.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self._scale = 1.0 / (255.0 * torch.tensor(std).view(1, -1, 1, 1))
        self._shift = -(torch.tensor(mean) / torch.tensor(std)).view(1, -1, 1, 1)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return normalised images `(B, C, H, W)`; the only float copy that is made."""
        scale, shift = self._scale.to(images.device), self._shift.to(images.device)
        return images.to(torch.float32).mul_(scale).add_(shift)


class Draws:
    """The random choices of a batch: shifts `(B, 2)` in 0..2 * padding, and flips `(B,)`.

    They are drawn on the CPU for the whole batch, so neither the device nor the number of ranks changes them.
    """

    def __init__(self, padding: int, shifts: torch.Tensor | None, flips: torch.Tensor | None) -> None:
        self._padding, self._shifts, self._flips = padding, shifts, flips

    @classmethod
    def of_batch(cls, size: int, augmentation: Augmentation, stream: np.random.Generator) -> Draws:
        """Draw for `size` images."""
        padding = augmentation.crop_padding
        shifts = torch.from_numpy(stream.integers(0, 2 * padding + 1, size=(size, 2))) if padding else None
        flips = torch.from_numpy(stream.integers(0, 2, size=size).astype(bool)) if augmentation.flip else None
        return cls(padding, shifts, flips)

    def part(self, part: slice) -> Draws:
        """Return the choices of some of the images."""
        shifts = None if self._shifts is None else self._shifts[part]
        return Draws(self._padding, shifts, None if self._flips is None else self._flips[part])

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Shift (zeros come in) and flip uint8 images `(B, C, H, W)`."""
        if self._shifts is not None:
            images = _shifted(images, self._shifts.to(images.device), self._padding)
        if self._flips is not None:
            images = torch.where(self._flips.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
        return images


def _shifted(images: torch.Tensor, shifts: torch.Tensor, padding: int) -> torch.Tensor:
    height, width = images.shape[2:]
    padded = functional.pad(images, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2p + 1, 2p + 1, H, W), a view
    return windows[torch.arange(len(images), device=images.device), :, shifts[:, 0], shifts[:, 1]]
