"""Reading image files of any size and mode as square uint8 pixels.

Legend: `C` channels, `R` resolution.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
)
_GREY = ("1", "L", "LA", "La")


class UnreadableError(Exception):
    """An image file that cannot be decoded; the text says why."""


def read_picture(path: Path) -> Image.Image:
    """Decode a file to 8 bits per channel, `L` or `RGB`, turned upright as its EXIF data asks.

    16-bit grey keeps its upper 8 bits; alpha is dropped; of an animation the first frame counts.

    Raises:
        UnreadableError: If the file is broken, cut short, or holds floats.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            return to_8_bits(ImageOps.exif_transpose(picture))
    except Exception as error:  # a broken file raises whatever its decoder stumbles over
        raise UnreadableError(str(error) or type(error).__name__) from error


def to_8_bits(picture: Image.Image) -> Image.Image:
    """Return a picture of any mode with 8 bits per channel, `L` or `RGB`; see `read_picture`.

    Raises:
        UnreadableError: If it holds floats or more than 16 bits.
    """
    if picture.mode in _GREY:
        return picture.convert("L")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise UnreadableError(f"expected grey levels of 16 bits, got {values.min()} to {values.max()}")
        return Image.fromarray((values >> 8).astype(np.uint8))
    if picture.mode == "F":
        raise UnreadableError("it holds floating-point grey levels; save it with 8 or 16 bits")
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA")  # straight to RGB, a palette with transparency warns
    return picture.convert("RGB")


def is_grey(picture: Image.Image) -> bool:
    """Tell whether all channels of all pixels agree."""
    pixels = np.asarray(picture)
    return pixels.ndim == 2 or bool((pixels == pixels[..., :1]).all())


def centre_box(width: int, height: int) -> tuple[float, float, float, float]:
    """Return the largest centred square, as left, top, right, bottom."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def random_box(
    width: int, height: int, *, scale: float, stream: np.random.Generator
) -> tuple[float, float, float, float]:
    """Draw a rectangle of `scale` to all of the area and an aspect ratio of 3/4 to 4/3, as left, top, right, bottom.

    Ten drawings that do not fit in the picture end in the centred square.
    """
    for _ in range(10):
        area = width * height * stream.uniform(scale, 1.0)
        ratio = math.exp(stream.uniform(math.log(3 / 4), math.log(4 / 3)))
        box_width, box_height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if box_width <= width and box_height <= height:
            left, top = stream.uniform(0, width - box_width), stream.uniform(0, height - box_height)
            return left, top, left + box_width, top + box_height
    return centre_box(width, height)


def square_pixels(
    picture: Image.Image, box: tuple[float, float, float, float], *, resolution: int, channels: int
) -> torch.Tensor:
    """Resize what a box shows, bilinear and antialiased, to uint8 pixels `(C, R, R)`."""
    picture = picture.convert("L" if channels == 1 else "RGB")
    small = picture.resize((resolution, resolution), Image.Resampling.BILINEAR, box=box)
    pixels = np.array(small).reshape(resolution, resolution, channels)
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
