"""Augmentation and normalisation: of whole batches by tensor operations on the device, RandAugment image by image.

Legend: `B` images of a batch, `C` channels, `H` = `W` resolution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageOps
from timm.data.auto_augment import RandAugment, rand_augment_transform
from torch.nn import functional

from archatlas.data.base import POLICY, borrowed_generators, random_seed
from archatlas.data.config import Augmentation

_ERASED_AREA = (0.02, 1 / 3)
_ERASED_ASPECT = 0.3


class Normalisation:
    """Turns uint8 images into float32 with mean 0 and deviation 1 per channel.

    Args:
        mean: Per channel, as fraction of 255.
        std: Per channel, as fraction of 255.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self._scale = 1.0 / (255.0 * torch.tensor(std).view(1, -1, 1, 1))
        self._shift = -(torch.tensor(mean) / torch.tensor(std)).view(1, -1, 1, 1)
        self.mean = mean

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return normalised images `(B, C, H, W)`; the only float copy that is made."""
        scale, shift = self._scale.to(images.device), self._shift.to(images.device)
        return images.to(torch.float32).mul_(scale).add_(shift)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """How single images of one epoch vary: RandAugment here, and random crops where the pixels allow them.

    Args:
        seed: Of the training.
        epoch: Number of the epoch.
        crop_scale: Smallest share of the area that a random crop keeps; 1: always the centre.
        rand_augment: timm's words; None: off.
        fill: Grey level per channel that moves in from outside, 0 to 255.
    """

    seed: int
    epoch: int
    crop_scale: float
    rand_augment: str | None
    fill: tuple[int, ...]

    def __call__(self, images: torch.Tensor, indices: np.ndarray) -> torch.Tensor:
        """Vary uint8 images `(B, C, H, W)`, each as its index `(B,)` in the split decides."""
        if self.rand_augment is None:
            return images
        policy = _policy(self.rand_augment, self.fill)
        with borrowed_generators() as seed_with:
            varied = []
            for pixels, index in zip(images, indices.tolist(), strict=True):
                seed_with(random_seed(POLICY, self.seed, self.epoch, index))
                varied.append(_as_pixels(policy(_as_picture(pixels))))
        return torch.stack(varied)


@lru_cache(maxsize=8)
def _policy(description: str, fill: tuple[int, ...]) -> RandAugment:
    colour = fill[0] if len(fill) == 1 else fill
    policy: RandAugment = rand_augment_transform(description, {"img_mean": colour, "translate_pct": 0.45})
    for operation in policy.ops:
        if operation.name.startswith("Posterize"):
            operation.aug_fn = _posterized
    return policy


def _posterized(picture: Image.Image, bits: int, **_: object) -> Image.Image:
    """Keep one bit where timm, at the end of the magnitudes, asks for none, which Pillow refuses."""
    return ImageOps.posterize(picture, min(max(1, bits), 8))


def _as_picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).contiguous().numpy())


def _as_pixels(picture: Image.Image) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(picture))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)


class Draws:
    """The random choices of a batch: shifts `(B, 2)` in 0..2 * padding, flips `(B,)`, boxes to erase `(B, 4)`.

    They are drawn on the CPU for the whole batch, so neither the device nor the number of ranks changes them.
    """

    def __init__(
        self, padding: int, shifts: torch.Tensor | None, flips: torch.Tensor | None, boxes: torch.Tensor | None
    ) -> None:
        self._padding, self._shifts, self._flips, self._boxes = padding, shifts, flips, boxes

    @classmethod
    def of_batch(cls, size: int, side: int, augmentation: Augmentation, stream: np.random.Generator) -> Draws:
        """Draw for `size` images of `side` pixels."""
        padding, erased = augmentation.crop_padding, augmentation.random_erasing
        shifts = torch.from_numpy(stream.integers(0, 2 * padding + 1, size=(size, 2))) if padding else None
        flips = torch.from_numpy(stream.integers(0, 2, size=size).astype(bool)) if augmentation.flip else None
        boxes = torch.from_numpy(_boxes(size, side, erased, stream)) if erased else None
        return cls(padding, shifts, flips, boxes)

    def part(self, part: slice) -> Draws:
        """Return the choices of some of the images."""
        return Draws(self._padding, *(None if d is None else d[part] for d in (self._shifts, self._flips, self._boxes)))

    def apply(self, images: torch.Tensor) -> torch.Tensor:
        """Shift (zeros come in) and flip uint8 images `(B, C, H, W)`."""
        if self._shifts is not None:
            images = _shifted(images, self._shifts.to(images.device), self._padding)
        if self._flips is not None:
            images = torch.where(self._flips.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
        return images

    def erase(self, images: torch.Tensor) -> torch.Tensor:
        """Set the boxes of normalised images `(B, C, H, W)` to 0, the mean of the data, in place."""
        if self._boxes is None:
            return images
        top, left, bottom, right = self._boxes.to(images.device).T.reshape(4, -1, 1, 1)
        rows = torch.arange(images.shape[2], device=images.device).view(1, -1, 1)
        columns = torch.arange(images.shape[3], device=images.device).view(1, 1, -1)
        inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        return images.masked_fill_(inside.unsqueeze(1), 0.0)


def _boxes(size: int, side: int, share: float, stream: np.random.Generator) -> np.ndarray:
    """Draw top, left, bottom, right `(B, 4)` of random erasing (Zhong et al. 2020); empty for `1 - share` of them."""
    area = stream.uniform(*_ERASED_AREA, size) * side**2
    ratio = np.exp(stream.uniform(math.log(_ERASED_ASPECT), -math.log(_ERASED_ASPECT), size))
    chosen = stream.random(size) < share
    extent = [np.minimum(np.rint(np.sqrt(area * r)), side).astype(np.int64) * chosen for r in (ratio, 1 / ratio)]
    corner = [stream.integers(0, side - length + 1) for length in extent]
    return np.stack([*corner, *(c + length for c, length in zip(corner, extent, strict=True))], axis=1)


def _shifted(images: torch.Tensor, shifts: torch.Tensor, padding: int) -> torch.Tensor:
    height, width = images.shape[2:]
    padded = functional.pad(images, (padding,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2p + 1, 2p + 1, H, W), a view
    return windows[torch.arange(len(images), device=images.device), :, shifts[:, 0], shifts[:, 1]]
