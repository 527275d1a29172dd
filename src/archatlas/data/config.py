"""Settings of the data stage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from archatlas.usercode import FUNCTION_PATTERN

_RAND_AUGMENT = re.compile(r"rand(-(m\d+|n\d+|p[\d.]+|mstd[\d.]+|mmax\d+|inc[01]|t(weights|3a|3aw)))*")


def _known_policy(text: str) -> str:
    if not _RAND_AUGMENT.fullmatch(text):
        raise ValueError(
            "expected timm's words for RandAugment: rand, then -m (magnitude), -n (operations), -p (share), -mstd, "
            "-mmax, -inc, each with its number, such as rand-m9-n2-mstd0.5-inc1"
        )
    return text


RandAugmentWords = Annotated[str, AfterValidator(_known_policy)]
DataName = Literal["digits", "cifar10", "fashion-mnist", "folder", "dataset"]


class Augmentation(BaseModel):
    """How training images are varied; validation and test images never are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop_padding: int = Field(
        default=0, ge=0, description="Zero pixels added on every side before a random crop back to the resolution."
    )
    flip: bool = Field(default=False, description="Mirror every other image, left to right, at random.")
    crop_scale: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Streamed images only: smallest share of the image area that a random resized crop keeps; "
        "1 switches it off.",
    )
    rand_augment: RandAugmentWords | None = Field(
        default=None,
        description="timm's RandAugment, image by image, in timm's words: rand-m9-n2-mstd0.5-inc1 is two operations "
        "of magnitude 9 of 10; null = off.",
    )
    random_erasing: float = Field(
        default=0.0, ge=0, le=1, description="Share of the images of which a rectangle (2 to 33 %) becomes the mean."
    )


class DataConfig(BaseModel):
    """Which images to use and how they are split, shrunk and augmented."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: DataName = Field(
        default="digits",
        description="digits (embedded), cifar10, fashion-mnist, folder (your own directory of class folders), or "
        "dataset (your own torch Dataset).",
    )
    path: Path = Field(
        default=Path("data"),
        description="Where the files lie, or are downloaded to; for dataset: the folder of your module.",
    )
    dataset: str | None = Field(
        default=None,
        pattern=FUNCTION_PATTERN,
        description="For dataset: your function as module:function. It returns a Dataset of (image, label), or several "
        "as {train: ..., val: ..., test: ...}.",
    )
    arguments: dict[str, Any] = Field(default={}, description="For dataset: passed to your function by name.")
    download: bool = Field(default=False, description="Fetch missing files; without it nothing touches the network.")
    resolution: int | None = Field(
        default=None,
        ge=1,
        description="Side of the square images in pixels; null keeps the native one (8, 32, 28; your own: the median "
        "shorter side, rounded down to a multiple of 8, from 8 to 224).",
    )
    train_images: int | None = Field(default=None, ge=1, description="Training images; null takes all that are left.")
    validation_images: int | None = Field(
        default=None,
        ge=1,
        description="Validation images, which the search scores with; null: 300 (digits), 5,000 (cifar10, "
        "fashion-mnist), 15 % (your own), or all of your own validation part.",
    )
    test_images: int | None = Field(
        default=None,
        ge=1,
        description="Test images, used once at the end; null: the official test set, 300 (digits), or 15 % (your own).",
    )
    seed: int = Field(default=0, ge=0, description="Seed of the split.")
    workers: int = Field(default=2, ge=0, description="Processes that read and decode your own images.")
    memory_gib: float = Field(
        default=2.0,
        ge=0,
        description="Your own images are kept in memory if they fit, otherwise read again every epoch.",
    )
    corrupt: Literal["skip", "refuse"] = Field(
        default="refuse", description="What to do with your own images that cannot be read: leave them out, or stop."
    )
    augmentation: Augmentation | None = Field(
        default=None,
        description="null: the data set's own (digits: shift by 1; cifar10: shift by an eighth, flip; fashion-mnist: "
        "shift by 2, flip; your own: random resized crop, or shift by an eighth when in memory, flip).",
    )

    @field_validator("path")
    @classmethod
    def _expand_home(cls, path: Path) -> Path:
        return path.expanduser()
