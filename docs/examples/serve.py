"""Classify image files with an exported ONNX file and nothing of archatlas: numpy, Pillow and ONNX Runtime.

Usage: python serve.py net.onnx IMAGE...
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def prepare(file: str, card: dict) -> np.ndarray:
    """Return one image `(C, R, R)` as the network was trained on them."""
    picture = ImageOps.exif_transpose(Image.open(file))
    if picture.mode.startswith("I"):  # 16 bits: the upper 8
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    picture = picture.convert("L" if card["channels"] == 1 else "RGB")
    width, height = picture.size
    side, size = min(width, height), (card["resolution"], card["resolution"])
    box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
    pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box), dtype=np.float32) / 255
    normalised = (pixels.reshape(*size, card["channels"]) - card["mean"]) / card["std"]
    return normalised.transpose(2, 0, 1).astype(np.float32)


def main() -> None:
    """Print the most probable class of each image."""
    network, *files = sys.argv[1:]
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    card = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    images = np.stack([prepare(file, card) for file in files])
    (logits,) = session.run(None, {"images": images})
    for file, row in zip(files, logits, strict=True):
        print(file, card["class_names"][int(row.argmax())])


if __name__ == "__main__":
    main()
