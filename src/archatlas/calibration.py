"""Calibration of a run: a few stand-alone trainings, a corrected fit, and an atlas that answers by it.

Every finished training is a row of `trainings.sqlite`; a stopped calibration continues with the one it was in.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archatlas.atlas import tabulate
from archatlas.errors import ConfigError
from archatlas.files import write_json
from archatlas.measurement import measure
from archatlas.pipeline import fit_samples
from archatlas.predictors import WindowedPredictor, build_predictor
from archatlas.predictors.calibration import FittedCalibration, calibrate
from archatlas.predictors.metrics import best, kendall_tau
from archatlas.predictors.order import reference_architectures
from archatlas.predictors.table import read_scores
from archatlas.records import Architecture, Architectures, Evaluation, Floats, as_array, format_architecture
from archatlas.retraining import Recipe, RetrainingConfig, load_network, retrain
from archatlas.search.acquisition import Candidates, acquire, next_round
from archatlas.session import Run
from archatlas.spaces import SpaceGraph
from archatlas.store import EvaluationStore, Scope

STORE = "trainings.sqlite"
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
        ConfigError: If the predictor is no sum over windows, or there are too few trainings.
        DataError: If too few sub-networks are scored.
    """
    _enough(trainings, "--trainings")
    base = _one_shot_fit(run)
    label = _training(run, trainings)
    candidates = _candidates(run)
    rows, labels = acquire(base, label, candidates, run.config.calibration, trainings=trainings, seed=run.config.seed)
    if run.fabric.is_global_zero:
        shutil.rmtree(run.path / "calibration", ignore_errors=True)
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


def _training(run: Run, trainings: int) -> Callable[[Architectures], Floats]:
    """Return what trains networks stand-alone on the short schedule and gives their validation accuracy."""
    settings, store = _schedule(run), EvaluationStore(run.path / STORE)
    scope = Scope(supernet="stand-alone", data=run.data.digest, settings=run.training_fingerprint(settings))

    def label(architectures: Architectures) -> Floats:
        for architecture in map(tuple, architectures.tolist()):
            done = run.directory.share(store.all(scope) if run.directory.leads else None)
            if architecture not in done:
                title = f"training {min(len(done) + 1, trainings)} of {trainings}, {format_architecture(architecture)}"
                evaluation = _trained(run, architecture, settings, title)
                if run.directory.leads:
                    store.add(scope, evaluation)
        done = run.directory.share(store.all(scope) if run.directory.leads else None)
        return np.array([done[tuple(row)].accuracy for row in architectures.tolist()])

    return label


def _schedule(run: Run) -> RetrainingConfig:
    """Return the settings of retraining with fewer epochs, and without what only pays in long trainings."""
    epochs = run.config.calibration.epochs or -(-run.config.retraining.epochs // 3)
    warmup = min(run.config.retraining.warmup_epochs, epochs / 4)
    return run.config.retraining.model_copy(
        update={"epochs": epochs, "warmup_epochs": warmup, "init": "scratch", "recipe": Recipe(), "distillation": None}
    )


def _trained(run: Run, architecture: Architecture, settings: RetrainingConfig, title: str) -> Evaluation:
    directory = run.path / "calibration" / format_architecture(architecture)
    with run.console.monitor(title, "step") as monitor:
        retrain(
            run.space,
            architecture,
            run.data,
            settings,
            fabric=run.fabric,
            seed=run.config.seed,
            directory=directory,
            monitor=monitor,
        )
    network = run.fabric.to_device(load_network(run.space, directory))
    measured = measure(network, run.data.validation, fabric=run.fabric)
    return Evaluation(
        architecture=architecture, loss=measured.loss, accuracy=measured.accuracy, num_images=measured.num_images
    )


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
