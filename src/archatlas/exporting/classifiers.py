"""Exported networks behind one contract, whether ONNX Runtime or torch runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from archatlas.errors import ArtifactMismatchError, ExportError
from archatlas.exporting.card import NetworkCard
from archatlas.exporting.loading import card_path, load_network, read_card
from archatlas.onnx_models import open_session, run_session

Logits = npt.NDArray[np.float32]


class Classifier(Protocol):
    """Gives logits for normalised images."""

    @property
    def card(self) -> NetworkCard:
        """How to prepare the images and what the outputs mean."""

    def __call__(self, images: torch.Tensor) -> Logits:
        """Return logits `(B, classes)` of normalised images `(B, C, R, R)`."""


class OnnxClassifier:
    """An ONNX file alone, run by ONNX Runtime.

    Args:
        path: The file.

    Raises:
        ArtifactMismatchError: If it is missing, no ONNX, or has no card in its metadata.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ArtifactMismatchError(f"The network {path} does not exist; make one with: archatlas export RUN")
        try:
            self._session = open_session(path, threads=torch.get_num_threads())
        except ExportError as error:
            raise ArtifactMismatchError(f"{path} cannot be used: {error}") from None
        self._card = NetworkCard.from_metadata(self._session.get_modelmeta().custom_metadata_map, path)

    @property
    def card(self) -> NetworkCard:
        """See `Classifier.card`."""
        return self._card

    def __call__(self, images: torch.Tensor) -> Logits:
        """Return logits; see `Classifier`."""
        return run_session(self._session, images)


class TorchClassifier:
    """The rebuilt module of a `.json` file, run by torch.

    Args:
        path: As `load_network`.
        space: As `load_network`.
    """

    def __init__(self, path: Path, space: str | None = None) -> None:
        self._network = load_network(path, space)
        self._card = read_card(card_path(path))

    @property
    def card(self) -> NetworkCard:
        """See `Classifier.card`."""
        return self._card

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> Logits:
        """Return logits; see `Classifier`."""
        logits: Logits = self._network(images).numpy()
        return logits


def open_classifier(path: Path, space: str | None = None) -> Classifier:
    """Open an exported network: an `.onnx` file by ONNX Runtime, anything else as `load_network`."""
    return OnnxClassifier(path) if path.suffix == ".onnx" else TorchClassifier(path, space)
