"""The report of a fit: how well predictors agree with *measured* scores that they have not seen.

Held-out rows never enter the fit that is scored: the report makes its own fit without them.

Legend: `A` evaluated architectures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archatlas.predictors.base import Predictor
from archatlas.predictors.baselines import trivial_scores
from archatlas.predictors.metrics import kendall_tau, spearman_rho, top_overlap
from archatlas.predictors.targets import check_samples
from archatlas.records import Architectures, Floats, format_architecture
from archatlas.spaces import SpaceGraph

NOT_THE_TRUTH = (
    "Agreement with measured one-shot scores is not agreement with the truth: the error of a one-shot score is itself "
    "a smooth function of the architecture, so a more flexible predictor scores higher here and may rank stand-alone "
    "networks worse."
)
TIE_RULE = "Higher is better. Kendall's tau-b and Spearman's mean ranks count ties half; a constant score has 0."
TOP_FRACTION = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One predictor against held-out measured scores.

    Args:
        name: The predictor, its `(rank)` order, or a trivial score.
        tau: Kendall's tau-b.
        rho: Spearman's rho.
        top_overlap: Share of the measured best tenth among the predicted best tenth.
    """

    name: str
    tau: float
    rho: float
    top_overlap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One sample as the chosen predictor sees it, in the fit that was made without the held-out samples.

    Args:
        architecture: As text.
        measured: The score, in its own unit; higher is better.
        predicted: The flexible score, in normal-score units.
        held_out: Whether the fit had not seen it.
    """

    architecture: str
    measured: float
    predicted: float
    held_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What a fit can honestly say of itself.

    Args:
        num_fitted: Samples in the fit that was scored.
        num_held_out: Samples that it was scored on.
        rows: Each predictor's flexible score, its two-stage order, and the trivial scores.
        points: Every sample under the chosen predictor.
        rule: Direction and ties.
        caution: What the numbers do not mean.
    """

    num_fitted: int
    num_held_out: int
    rows: tuple[Agreement, ...]
    points: tuple[Point, ...]
    rule: str = TIE_RULE
    caution: str = NOT_THE_TRUTH


def fit_report(
    predictors: Sequence[Predictor],
    graph: SpaceGraph,
    architectures: Architectures,
    scores: Floats,
    *,
    seed: int,
    held_out: float = 0.2,
) -> FitReport:
    """Fit each predictor to a part of the samples and compare it with the rest.

    Args:
        predictors: The chosen one first, then the baselines.
        graph: The space.
        architectures: `(A, L)`, at least 10; all rows of one architecture fall on the same side.
        scores: `(A,)` measured, higher is better.
        seed: Of the split and the fits.
        held_out: Share of the distinct architectures that is held out.

    Raises:
        DataError: If the samples cannot be fitted.
    """
    check_samples(graph.num_choices, architectures, scores)
    test = _held_out(architectures, held_out, seed)
    rows: list[Agreement] = []
    points: tuple[Point, ...] = ()
    for predictor in predictors:
        fitted = predictor.fit(graph, architectures[~test], scores[~test], seed=seed)
        predicted = fitted.predict(architectures).mean
        rows.append(_agreement(predictor.name, predicted[test], scores[test]))
        rows.append(_agreement(f"{predictor.name} (rank)", fitted.rank(architectures[test]), scores[test]))
        points = points or _points(architectures, scores, predicted, test)
    for name, values in trivial_scores(graph, architectures[test]).items():
        rows.append(_agreement(name, values, scores[test]))
    return FitReport(num_fitted=int((~test).sum()), num_held_out=int(test.sum()), rows=tuple(rows), points=points)


def _held_out(architectures: Architectures, share: float, seed: int) -> np.ndarray:
    """Return a mask `(A,)`; equal architectures are on the same side."""
    distinct, membership = np.unique(architectures, axis=0, return_inverse=True)
    count = max(1, round(share * len(distinct)))
    chosen = np.random.default_rng(seed).permutation(len(distinct))[:count]
    return np.isin(membership.reshape(-1), chosen)


def _points(architectures: Architectures, measured: Floats, predicted: Floats, test: np.ndarray) -> tuple[Point, ...]:
    return tuple(
        Point(
            architecture=format_architecture(tuple(map(int, row))),
            measured=float(score),
            predicted=float(mean),
            held_out=bool(held_out),
        )
        for row, score, mean, held_out in zip(architectures, measured, predicted, test, strict=True)
    )


def _agreement(name: str, predicted: Floats, measured: Floats) -> Agreement:
    return Agreement(
        name=name,
        tau=kendall_tau(predicted, measured),
        rho=spearman_rho(predicted, measured),
        top_overlap=top_overlap(predicted, measured, TOP_FRACTION),
    )
