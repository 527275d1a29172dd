"""Fitted predictors on disk: `predictor.safetensors` and `predictor.json`, never a pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from archatlas.errors import ArtifactMismatchError, DataError
from archatlas.files import atomic_path, write_json
from archatlas.predictors.order import Order
from archatlas.records import Floats, WindowTerms
from archatlas.spaces import SpaceGraph

FORMAT = 1
TENSORS = "predictor.safetensors"
HEADER = "predictor.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Artifact:
    """A saved predictor as read.

    Args:
        kind: Name of the predictor.
        tensors: Arrays by name.
        settings: Everything else.
    """

    kind: str
    tensors: dict[str, Any]
    settings: dict[str, Any]

    def number(self, name: str) -> int:
        """Return an integer setting."""
        return int(self.settings[name])

    def terms(self, name: str) -> WindowTerms:
        """Return window terms that `terms_to_tensors` wrote."""
        count = sum(key.startswith(f"{name}.term") for key in self.tensors)
        return WindowTerms(
            radius=int(self.tensors[f"{name}.radius"]),
            terms=tuple(self.tensors[f"{name}.term{i}"] for i in range(count)),
            offset=float(self.tensors[f"{name}.offset"]),
        )


def terms_to_tensors(name: str, terms: WindowTerms) -> dict[str, Floats]:
    """Return window terms as named arrays."""
    tensors = {f"{name}.term{i}": np.asarray(term) for i, term in enumerate(terms.terms)}
    return tensors | {f"{name}.radius": np.asarray(terms.radius), f"{name}.offset": np.asarray(terms.offset)}


def order_to_tensors(order: Order) -> dict[str, Floats]:
    """Return an order as named arrays."""
    tensors = terms_to_tensors("bonus", order.bonus) | terms_to_tensors("rank", order.rank)
    return tensors | {"threshold": np.asarray(order.threshold)}


def order_from_artifact(artifact: Artifact) -> Order:
    """Return the order that `order_to_tensors` wrote."""
    return Order(
        bonus=artifact.terms("bonus"), rank=artifact.terms("rank"), threshold=float(artifact.tensors["threshold"])
    )


def write_artifact(
    directory: Path, kind: str, graph: SpaceGraph, tensors: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Write a fitted predictor; each file appears whole or not at all, the header last."""
    header = {"format": FORMAT, "kind": kind, "space": graph.name, "graph": graph.digest, "settings": settings}
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    with atomic_path(directory / TENSORS) as path:
        save_file(arrays, path)
    write_json(directory / HEADER, header)


def read_artifact(directory: Path, graph: SpaceGraph) -> Artifact:
    """Read a saved predictor for a graph.

    Raises:
        DataError: If the files are missing or damaged.
        ArtifactMismatchError: If it was fitted on another space or written by another format.
    """
    try:
        header = json.loads((directory / HEADER).read_text())
        tensors = load_file(directory / TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise DataError(f"Expected a fitted predictor in {directory} ({HEADER}, {TENSORS}): {error}") from error
    if header["format"] != FORMAT:
        raise ArtifactMismatchError(
            f"{directory} has format {header['format']}, this version reads {FORMAT}. Fit again."
        )
    if header["graph"] != graph.digest:
        raise ArtifactMismatchError(
            f"The predictor in {directory} was fitted on {header['space']} ({header['graph']}), "
            f"asked for {graph.name} ({graph.digest}). Fit one for this space."
        )
    return Artifact(kind=header["kind"], tensors=tensors, settings=header["settings"])
