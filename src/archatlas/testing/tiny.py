"""A space of 27 architectures, random images and an untrained super-network: small enough to try everything.

The second and third block are interchangeable and hold an identity, so 27 architectures are 21 networks.

Strided 1x1 convolutions: with 3 or 6 input channels in channels-last order their backward pass corrupts memory in the
CPU library of torch 2.14, so the space keeps to multiples of 4.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import nn

from archatlas.data import Augmentation, ImageData
from archatlas.data.arrays import LabelledImages, Parts, assemble
from archatlas.spaces import Block, ChainSpace, Operator
from archatlas.spaces.operators import IDENTITY, conv_stem, mbconv, pooled_head
from archatlas.supernet import SuperNet
from archatlas.training import seeded

OPERATORS = (IDENTITY, mbconv(2, 3, nn.ReLU), mbconv(3, 5, nn.ReLU))
NUM_NETWORKS = 21


def tiny_space(operators: tuple[Operator, ...] = OPERATORS) -> ChainSpace:
    """Return a space of three blocks with these operators each: 8x8 grey images, 4 classes."""
    shapes = ((8, 12, 2), (12, 12, 1), (12, 12, 1))  # multiples of 4: see the note on strided 1x1 convolutions
    return ChainSpace(
        name="tiny",
        resolution=8,
        in_channels=1,
        num_classes=4,
        stem=partial(conv_stem, channels=8),
        head=partial(pooled_head, in_channels=12, features=16),
        blocks=tuple(Block(in_channels=i, out_channels=o, stride=s, operators=operators) for i, o, s in shapes),
        segments=(2, 1),
    )


def tiny_data(
    *,
    train: int = 64,
    validation: int = 40,
    test: int = 20,
    channels: int = 1,
    resolution: int = 8,
    num_classes: int = 4,
    seed: int = 0,
) -> ImageData:
    """Return random images: each class has a random prototype, each image is one with noise on it."""
    rng = np.random.default_rng(seed)
    prototypes = rng.integers(0, 256, (num_classes, channels, resolution, resolution))

    def draw(count: int) -> LabelledImages:
        labels = rng.integers(0, num_classes, count)
        pixels = (prototypes[labels] + rng.integers(0, 256, (count, *prototypes.shape[1:]))) // 2
        return LabelledImages(images=torch.from_numpy(pixels.astype(np.uint8)), labels=labels)

    return assemble(
        Parts(train=draw(train), validation=draw(validation), test=draw(test)),
        name="random",
        class_names=tuple(f"class {i}" for i in range(num_classes)),
        augmentation=Augmentation(crop_padding=1, flip=True),
    )


def untrained_supernet(space: ChainSpace, *, seed: int = 0) -> SuperNet:
    """Return a super-network of random weights, BN parameters and BN statistics, so that all of them count."""
    with seeded(seed):
        supernet = SuperNet(space)
        for module in supernet.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.3)
                nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return supernet
