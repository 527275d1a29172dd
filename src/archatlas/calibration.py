"""Calibration of a run: a few stand-alone trainings, a corrected fit, and an atlas that answers by it.

A stopped calibration continues with the training it was in.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archatlas.atlas import tabulate
from archatlas.errors import ConfigError
from archatlas.files import write_json
from archatlas.labelling import labelling
from archatlas.pipeline import fit_samples
from archatlas.predictors import WindowedPredictor, build_predictor
from archatlas.predictors.calibration import FittedCalibration, calibrate
from archatlas.predictors.metrics import best, kendall_tau
from archatlas.predictors.order import reference_architectures
from archatlas.predictors.table import read_scores
from archatlas.records import Architecture, Architectures, Floats, as_array, format_architecture
from archatlas.search.acquisition import Candidates, acquire, next_round
from archatlas.session import Run
from archatlas.spaces import SpaceGraph

RESULT = "calibration.json"
FEWEST = 5
"""Labels that a calibration needs at least."""
_FOLDS = 5
_LARGEST_POOL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationResult:
    """What a calibration found.

    Args:
        labels: Number of true labels.
        best: The network with the best label.
        best_label: Its label: validation accuracy 0 to 1, or the unit of the user's table.
        predicted_best: The best network of the space within the budgets, by the new atlas.
        tau_before: Kendall's tau between the one-shot order and the labels.
        tau_after: The same of calibrated orders that have not seen the label that they are compared with.
        proposals: What should be trained next.
    """

    labels: int
    best: Architecture
    best_label: float
    predicted_best: Architecture
    tau_before: float
    tau_after: float
    proposals: tuple[Architecture, ...]


def calibrate_run(run: Run, *, trainings: int) -> CalibrationResult:
    """Train networks stand-alone in rounds of acquisition, then fit and rebuild predictor and atlas.

    Args:
        run: Its sub-networks are scored already.
        trainings: Networks to train in all, those of earlier calls included.

    Raises:
        ConfigError: If the predictor is no sum over windows, there are too few trainings, or no workers.
        DataError: If too few sub-networks are scored.
    """
    _enough(trainings, "--trainings")
    base = _one_shot_fit(run)
    config, candidates = run.config, _candidates(run)
    with labelling(run, trainings=trainings) as label:
        rows, labels = acquire(base, label, candidates, config.calibration, trainings=trainings, seed=config.seed)
    return _finish(run, base, rows, labels, candidates)


def calibrate_from_table(run: Run, table: Path) -> CalibrationResult:
    """Calibrate by a user's own table of true scores, without any training.

    Raises:
        DataError: If the table cannot be read; names the line.
        ConfigError: As `calibrate_run`.
    """
    rows, labels = read_scores(table, run.space.validate)
    _enough(len(labels), str(table))
    return _finish(run, _one_shot_fit(run), run.graph.canonical(rows), labels, _candidates(run))


def _enough(count: int, source: str) -> None:
    if count < FEWEST:
        raise ConfigError(f"{source}: a calibration needs at least {FEWEST} labels, got {count}.")


def _one_shot_fit(run: Run) -> WindowedPredictor:
    rows, scores = fit_samples(run)
    fitted = build_predictor(run.config.predictor).fit(run.graph, rows, scores, seed=run.config.seed)
    if not isinstance(fitted, WindowedPredictor):
        raise ConfigError(
            f"predictor.name is {run.config.predictor.name}, whose scores are no sum over windows; calibration needs "
            "window_gcn, window_gp or ridge."
        )
    return fitted


def _candidates(run: Run) -> Candidates:
    """Return what may be trained: the space if it is small, else random networks and the best of the fit at hand."""
    drawn = reference_architectures(run.graph, seed=run.config.seed)
    reference, whole = _within_budgets(run, drawn), run.space.size <= len(drawn)

    def pool(fitted: WindowedPredictor) -> Architectures:
        if whole:
            return reference
        top = tabulate(run.graph, fitted.terms).top(_LARGEST_POOL, run.limits)
        best_ones = as_array([architecture for architecture, _ in top])
        return as_array(np.unique(run.graph.canonical(np.concatenate([best_ones, reference])), axis=0))

    return pool


def _within_budgets(run: Run, architectures: Architectures) -> Architectures:
    distinct = np.unique(run.graph.canonical(architectures), axis=0)
    for budget in run.limits:
        distinct = distinct[run.graph.costs[budget.cost](distinct) <= budget.upper]
    return as_array(distinct)


def _finish(
    run: Run, base: WindowedPredictor, rows: Architectures, labels: Floats, candidates: Candidates
) -> CalibrationResult:
    """Fit, write predictor, atlas and `calibration.json`, and describe what was found."""
    seed, config = run.config.seed, run.config.calibration
    fitted = calibrate(base, rows, labels, seed=seed)
    atlas = tabulate(run.graph, fitted.terms)
    first = int(best(labels, 1)[0])
    proposals = next_round(base, rows, labels, candidates, config, count=config.round_size, seed=seed)
    result = CalibrationResult(
        labels=len(labels),
        best=tuple(rows[first].tolist()),
        best_label=float(labels[first]),
        predicted_best=atlas.best(run.limits).architecture,
        tau_before=kendall_tau(base.rank(rows), labels),
        tau_after=kendall_tau(_held_out(base, rows, labels, seed), labels),
        proposals=tuple(map(tuple, proposals.tolist())),
    )
    if run.fabric.is_global_zero:
        _write(run, fitted)
        write_json(run.path / RESULT, _described(run.graph, result, rows, labels))
        run.directory.event("calibrated", labels=len(labels))
    run.fabric.barrier()
    return result


def _held_out(base: WindowedPredictor, rows: Architectures, labels: Floats, seed: int) -> Floats:
    """Return for each label the calibrated score `(N,)` of fits to the other folds."""
    folds = np.random.default_rng(seed).permutation(np.arange(len(labels)) % _FOLDS)
    scores = np.empty(len(labels))
    for fold in range(_FOLDS):
        inside = folds != fold
        if np.ptp(labels[inside]) > 0:
            scores[~inside] = calibrate(base, rows[inside], labels[inside], seed=seed).predict(rows[~inside]).mean
        else:
            scores[~inside] = base.predict(rows[~inside]).mean
    return scores


def _write(run: Run, fitted: FittedCalibration) -> None:
    """Put the calibrated predictor and its atlas in the place of the one-shot ones."""
    for name in ("predictor", "atlas"):
        shutil.rmtree(run.path / name, ignore_errors=True)
    fitted.save(run.path / "predictor")
    tabulate(run.graph, fitted.terms).save(run.path / "atlas")


def _described(graph: SpaceGraph, result: CalibrationResult, rows: Architectures, labels: Floats) -> dict[str, object]:
    return {
        "space": graph.name,
        "best": format_architecture(result.best),
        "predicted_best": format_architecture(result.predicted_best),
        "tau_before": result.tau_before,
        "tau_after": result.tau_after,
        "labels": [
            {"architecture": format_architecture(tuple(row)), "label": label}
            for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
        ],
    }
