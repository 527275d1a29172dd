"""Settings of retraining."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from archatlas.data.config import RandAugmentWords
from archatlas.errors import ConfigError
from archatlas.files import file_digest
from archatlas.training import TrainingConfig

RECIPES: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "strong": {
        "rand_augment": "rand-m9-n2-mstd0.5-inc1",
        "random_erasing": 0.25,
        "mixup": 0.2,
        "cutmix": 1.0,
        "drop_path": 0.1,
    },
}
"""Values of the presets where they differ from the defaults, which switch everything off."""


class Recipe(BaseModel):
    """Regularisation of a long training: a preset, and single values that replace the preset's.

    `strong` alone is short for `{preset: strong}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["quick", "strong"] = Field(
        default="quick", description="quick = all off, for short trainings; strong = for a hundred epochs and more"
    )
    rand_augment: RandAugmentWords | None = Field(
        default=None, description="timm's words for RandAugment, such as rand-m9-n2-mstd0.5-inc1, null = the data's"
    )
    random_erasing: float = Field(default=0.0, ge=0, le=1, description="share of the images with an erased rectangle")
    mixup: float = Field(default=0.0, ge=0, description="alpha of mixup, 0 = off")
    cutmix: float = Field(default=0.0, ge=0, description="alpha of CutMix, 0 = off; with mixup each batch takes one")
    drop_path: float = Field(
        default=0.0, ge=0, lt=1, description="stochastic depth: rate of the last block, growing from 0 at the first"
    )

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, given: Any) -> Any:
        """Put the preset's values under those given."""
        named = {"preset": given} if isinstance(given, str) else given
        if not isinstance(named, Mapping):
            return given
        preset = named.get("preset", "quick")
        return {**RECIPES.get(preset if isinstance(preset, str) else "", {}), **named}

    @property
    def augmentation(self) -> dict[str, object]:
        """Settings of `Augmentation` that it puts over those of the data; what is off here stays as it is there."""
        given = {"rand_augment": self.rand_augment, "random_erasing": self.random_erasing}
        return {name: value for name, value in given.items() if value}


class Distillation(BaseModel):
    """A teacher whose outputs the network learns beside the labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teacher: str = Field(
        default="supernet",
        description="supernet (the largest sub-network of the run's own), or any model of timm trained on your classes",
    )
    weights: Path | None = Field(default=None, description="safetensors of a timm teacher")
    download: bool = Field(default=False, description="fetch timm's own weights of the teacher")
    weight: float = Field(default=0.5, gt=0, le=1, description="share of the teacher in the loss")
    temperature: float = Field(default=2.0, gt=0, description="of both softmaxes")

    @field_validator("weights")
    @classmethod
    def _expand_home(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser()

    @property
    def weights_digest(self) -> str:
        """Twelve hexadecimal digits that stand for the weights of a timm teacher, empty without a file.

        Raises:
            ConfigError: If the file does not exist.
        """
        if self.weights is None:
            return ""
        if not self.weights.is_file():
            raise ConfigError(f"retraining.distillation.weights names {self.weights}, which is no file.")
        return file_digest(self.weights)[:12]


class RetrainingConfig(TrainingConfig):
    """How the chosen network is trained."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1, description="of the cross-entropy")
    ema_decay: float | None = Field(default=0.999, gt=0, lt=1, description="keep an average of the weights, null = off")
    init: Literal["scratch", "inherited"] = Field(
        default="scratch", description="first weights: random, or inherited from the super-network"
    )
    recipe: Recipe = Field(
        default=Recipe(), description="quick, strong, or a preset with values of your own; rates are of training only"
    )
    distillation: Distillation | None = Field(
        default=None, description="null = off, or teacher (supernet or a timm model), weights, weight, temperature"
    )

    @property
    def needs_supernet(self) -> bool:
        """Whether the training starts from, or learns from, the super-network."""
        return self.init == "inherited" or (self.distillation is not None and self.distillation.teacher == "supernet")
