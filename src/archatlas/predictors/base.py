"""The contract of predictors.

A predictor is fitted to measured one-shot scores of sampled architectures and answers for every architecture of the
space. Scores are higher-is-better (the pipeline passes minus the validation loss) and are turned into normal scores
before anything is fitted, so their unit and scale do not matter.

Legend: `A` architectures, `L` nodes (choice blocks).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from archatlas.records import Architectures, Floats, Prediction, TwoStageTerms
from archatlas.spaces import SpaceGraph


class FittedPredictor(Protocol):
    """What fitting returns. Immutable: the same architecture always gets the same answer."""

    @property
    def graph(self) -> SpaceGraph:
        """The graph that it was fitted on."""

    def predict(self, architectures: Architectures) -> Prediction:
        """Return the predicted (flexible) score of `(A, L)`, in normal-score units, mean and std."""

    def rank(self, architectures: Architectures) -> Floats:
        """Return `(A,)`, the one order that search, atlas and reports use; higher is better."""

    def save(self, directory: Path) -> None:
        """Write safetensors and JSON, never a pickle."""


@runtime_checkable
class WindowedPredictor(FittedPredictor, Protocol):
    """A fitted predictor whose order is a sum over windows, so that the factored atlas is exact."""

    @property
    def terms(self) -> TwoStageTerms:
        """The same order as `rank`, as window terms; equal to rounding."""


class Predictor(Protocol):
    """A predictor before it has seen scores: its settings."""

    @property
    def name(self) -> str:
        """Shown in reports."""

    def fit(self, graph: SpaceGraph, architectures: Architectures, scores: Floats, *, seed: int) -> FittedPredictor:
        """Fit to scores `(A,)` (any unit, higher is better) of architectures `(A, L)`; deterministic by `seed`."""
