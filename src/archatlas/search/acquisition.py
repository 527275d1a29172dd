"""Which networks to train stand-alone next, so that their labels find the best one and correct the order.

Labels come in rounds. The first trainings are of the best of the one-shot fit; then most of a round are the winners
of draws from the posterior of the calibrated order (Thompson 1933), the rest are drawn at random from the space, which
keeps the order of the whole space honest.

Legend: `C` candidates, `N` labelled networks, `L` blocks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
from pydantic import BaseModel, ConfigDict, Field

from archatlas.predictors import FittedPredictor, WindowedPredictor
from archatlas.predictors.calibration import FittedCalibration, calibrate
from archatlas.predictors.live import strip_dead
from archatlas.predictors.metrics import best
from archatlas.records import Architectures, Floats, as_array

Candidates = Callable[[WindowedPredictor], Architectures]
"""Returns distinct architectures `(C, L)` to choose from, among them the best ones of a fit."""

Label = Callable[[Architectures], Floats]
"""Trains architectures `(A, L)` stand-alone and returns their scores `(A,)`, higher is better."""

_CONTENDERS = 300
"""Best candidates that the draws are made for."""


class AcquisitionConfig(BaseModel):
    """How the networks of a calibration are chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    round_size: int = Field(default=5, ge=1, description="stand-alone trainings between two fits")
    trusting: int = Field(default=5, ge=1, description="first trainings, all of networks that are predicted best")
    explore: float = Field(default=0.4, ge=0, le=1, description="share of the later ones that is drawn at random")
    temperature: float = Field(
        default=0.5, ge=0, description="how far a draw strays from the mean; 0 = always the best, 1 = Thompson's"
    )


class CalibrationConfig(AcquisitionConfig):
    """How `archatlas calibrate` labels networks."""

    trainings: int = Field(default=50, ge=5, description="networks trained stand-alone")
    epochs: int | None = Field(
        default=None, ge=1, description="of each stand-alone training; null = a third of retraining.epochs"
    )


def acquire(
    base: WindowedPredictor,
    label: Label,
    candidates: Candidates,
    config: AcquisitionConfig,
    *,
    trainings: int,
    seed: int,
    known: tuple[Architectures, Floats] | None = None,
) -> tuple[Architectures, Floats]:
    """Label networks in rounds.

    Every round follows from the labels before it and the seed, so a stopped acquisition whose `label` remembers what it
    trained is continued by the same call.

    Args:
        base: The one-shot fit.
        label: Trains networks.
        candidates: What may be trained.
        config: Size and mixture of rounds.
        trainings: Networks to train.
        seed: Of the draws.
        known: Labels that are there already; these networks are not trained again.

    Returns:
        Networks `(N, L)` in the order of their training, behind the known ones, and their labels `(N,)`.
    """
    rows, labels = known or (as_array(np.empty((0, len(base.graph.num_choices)))), np.empty(0))
    end = len(rows) + trainings
    while len(rows) < end:
        spare = max(0, min(config.trusting, end) - len(rows))
        count = min(config.round_size, end - len(rows), *([spare] if spare else []))
        fresh = next_round(base, rows, labels, candidates, config, count=count, seed=seed)
        if not len(fresh):
            break
        rows, labels = np.concatenate([rows, fresh]), np.concatenate([labels, label(fresh)])
    return rows, labels


def next_round(
    base: WindowedPredictor,
    rows: Architectures,
    labels: Floats,
    candidates: Candidates,
    config: AcquisitionConfig,
    *,
    count: int,
    seed: int,
) -> Architectures:
    """Return the next `(count, L)` networks to train, given labels `(N,)` of `(N, L)`; fewer if none are left."""
    rng = np.random.default_rng((seed, len(rows)))
    fitted: FittedPredictor
    calibrated = calibrate(base, rows, labels, seed=seed) if len(rows) > 1 and np.ptp(labels) > 0 else None
    fitted = base if calibrated is None else calibrated
    pool = candidates(fitted)
    taken = set(map(tuple, rows.tolist()))
    pool = pool[[tuple(row) not in taken for row in pool.tolist()]]
    if calibrated is None:
        return as_array(pool[best(fitted.rank(pool), count)])
    explored = int(rng.binomial(count, config.explore)) if len(rows) >= config.trusting else 0
    contenders = pool[best(fitted.rank(pool), _CONTENDERS)]
    chosen = contenders[_draw_best(calibrated, contenders, count - explored, config.temperature, rng)]
    chosen_set = set(map(tuple, chosen.tolist()))
    rest = pool[[tuple(row) not in chosen_set for row in pool.tolist()]]
    return as_array(np.concatenate([chosen, rng.permutation(rest)[:explored]]))


def _draw_best(
    fitted: FittedCalibration, contenders: Architectures, count: int, temperature: float, rng: np.random.Generator
) -> list[int]:
    """Return the rows that win `count` joint draws from the posterior, each at most once."""
    alive = strip_dead(fitted.graph, contenders)
    mean, covariance = fitted.among_best.terms(alive), fitted.among_best.covariance(alive)
    root = scipy.linalg.cholesky(covariance + 1e-6 * np.eye(len(alive)), lower=True)
    open_rows = np.ones(len(alive), dtype=bool)
    winners: list[int] = []
    while len(winners) < min(count, len(alive)):
        draw = mean + temperature * (root @ rng.standard_normal(len(alive)))
        winners.append(int(np.argmax(np.where(open_rows, draw, -np.inf))))
        open_rows[winners[-1]] = False
    return winners
