"""scikit-learn's digits: 1,797 grey images of 8x8, embedded, no download."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits as _load_digits

from archatlas.data.arrays import LabelledImages, assemble, split_pool
from archatlas.data.base import ImageData
from archatlas.data.config import Augmentation, DataConfig


def load_digits(config: DataConfig) -> ImageData:
    """Split into 1,197 / 300 / 300 images unless the config says otherwise."""
    bunch = _load_digits()
    images = np.rint(bunch.images * (255.0 / 16.0)).astype(np.uint8)  # stored in 17 levels
    pool = LabelledImages(images=torch.from_numpy(images).unsqueeze(1), labels=bunch.target.astype(np.int64))
    return assemble(
        split_pool(pool, None, config, validation=300, test=300),
        name="digits",
        class_names=[str(digit) for digit in range(10)],
        augmentation=config.augmentation or Augmentation(crop_padding=1),
    )
