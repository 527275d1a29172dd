"""Image data: fixed train, validation and test splits, in memory or streamed."""

from __future__ import annotations

from collections.abc import Callable

from archatlas.data.base import Batch, ImageData, Split
from archatlas.data.cifar10 import load_cifar10
from archatlas.data.config import Augmentation, DataConfig
from archatlas.data.dataset import load_dataset
from archatlas.data.digits import load_digits
from archatlas.data.fashion_mnist import load_fashion_mnist
from archatlas.data.folder import load_folder

__all__ = ["Augmentation", "Batch", "DataConfig", "ImageData", "Split", "load_data"]

_LOADERS: dict[str, Callable[[DataConfig], ImageData]] = {
    "digits": load_digits,
    "cifar10": load_cifar10,
    "fashion-mnist": load_fashion_mnist,
    "folder": load_folder,
    "dataset": load_dataset,
}


def load_data(config: DataConfig) -> ImageData:
    """Load and split a data set.

    Raises:
        DataError: If files are missing, broken or other than expected.
        ConfigError: If a setting does not fit the images.
    """
    return _LOADERS[config.name](config)
