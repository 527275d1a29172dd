"""What travels with an exported network: how to prepare its images, what its outputs mean, how to rebuild it.

The same card is a JSON file beside the weights and the metadata of the ONNX file (one entry per field, each value as
JSON), so that `json.loads(metadata["mean"])` is all that another program needs.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from archatlas.data import ImageData
from archatlas.errors import ArtifactMismatchError
from archatlas.records import Architecture, format_architecture
from archatlas.spaces import ChainSpace
from archatlas.spaces.user import BUILT_IN, parse_validation_error


class NetworkCard(BaseModel):
    """The description of one exported network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    archatlas: str = Field(description="version that exported it")
    channels: int = Field(ge=1, description="of the images: 1 grey, 3 RGB")
    resolution: int = Field(ge=1, description="side of the square images in pixels")
    mean: tuple[float, ...] = Field(description="per channel, as fraction of full brightness; subtracted")
    std: tuple[float, ...] = Field(description="per channel, as fraction of full brightness; divided by afterwards")
    class_names: tuple[str, ...] = Field(min_length=2, description="what each output stands for")
    space: str = Field(description="built-in space, or the name of the user's")
    space_file: str | None = Field(description="file name of the user's own space, null for a built-in one")
    architecture: str = Field(description="operator index of each block")
    operators: tuple[str, ...] = Field(description="name of the chosen operator of each block")
    test_accuracy: float = Field(ge=0, le=1, description="of the network after training")
    test_images: int = Field(ge=1, description="that it was measured on")
    probe: tuple[float, ...] = Field(description="what the network answers to `probe_images`")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels or min(self.std) <= 0:
            raise ValueError(f"mean and std must have {self.channels} entries, one per channel, and std be positive")
        if len(self.probe) != len(self.class_names):
            raise ValueError("probe must have one number per class")
        return self

    def metadata(self) -> dict[str, str]:
        """Return the card as ONNX metadata."""
        return {name: json.dumps(value) for name, value in self.model_dump(mode="json").items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: Path) -> Self:
        """Read the card of an ONNX file; entries that it does not know are somebody else's.

        Raises:
            ArtifactMismatchError: If the metadata holds no card.
        """
        try:
            known = {name: json.loads(text) for name, text in metadata.items() if name in cls.model_fields}
        except json.JSONDecodeError as error:
            raise ArtifactMismatchError(f"The metadata of {source} is no JSON: {error}.") from None
        return cls.parse(known, source)

    @classmethod
    def parse(cls, content: Any, source: Path) -> Self:
        """Check what a file holds.

        Raises:
            ArtifactMismatchError: If it is no card; names the fields.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ArtifactMismatchError(
                f"{source} is no export of archatlas:\n{parse_validation_error(error)}\n"
                "Make one with: archatlas export RUN"
            ) from None


def describe_network(
    network: nn.Module,
    space: ChainSpace,
    architecture: Architecture,
    data: ImageData,
    *,
    space_name: str,
    test_accuracy: float,
    test_images: int,
) -> NetworkCard:
    """Return the card of a trained network.

    Args:
        network: In evaluation mode.
        space: Adapted to the data.
        architecture: Of the network.
        data: Whose training images it was trained on.
        space_name: As in the settings: a built-in name or a file.
        test_accuracy: 0 to 1.
        test_images: Number of test images.
    """
    built_in = space_name in BUILT_IN
    chosen = [block.operators[value].name for block, value in zip(space.blocks, architecture, strict=True)]
    return NetworkCard(
        archatlas=importlib.metadata.version("archatlas"),
        channels=data.channels,
        resolution=data.resolution,
        mean=data.mean,
        std=data.std,
        class_names=data.class_names,
        space=space_name if built_in else space.name,
        space_file=None if built_in else Path(space_name).name,
        architecture=format_architecture(architecture),
        operators=tuple(chosen),
        test_accuracy=test_accuracy,
        test_images=test_images,
        probe=tuple(probe(network, channels=data.channels, resolution=data.resolution)),
    )


def probe_images(*, channels: int, resolution: int) -> torch.Tensor:
    """Return the one image `(1, C, R, R)` whose answer a card records: a ramp from -1 to 1."""
    return torch.linspace(-1, 1, channels * resolution**2).view(1, channels, resolution, resolution)


@torch.no_grad()
def probe(network: nn.Module, *, channels: int, resolution: int) -> list[float]:
    """Return the logits of `probe_images`."""
    answer: list[float] = network(probe_images(channels=channels, resolution=resolution))[0].tolist()
    return answer
