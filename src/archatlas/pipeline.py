"""The story of a run: train a super-network, search with it, fit the atlas, train the winner.

Each stage reads what the stages before it left in the run directory and leaves its own. A stage that is done is not
done again; one that was stopped continues.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from archatlas.errors import DataError
from archatlas.files import read_header, write_json
from archatlas.fitting import fit_scores, load_report
from archatlas.predictors import build_predictor
from archatlas.predictors.report import FitReport
from archatlas.records import (
    Architecture,
    Candidate,
    Evaluation,
    SearchResult,
    as_array,
    format_architecture,
    parse_architecture,
)
from archatlas.reporting.html import write_report
from archatlas.retraining import RetrainResult, load_result, retrain
from archatlas.run_directory import fingerprint
from archatlas.search import Problem, search
from archatlas.search.problem import measured_score
from archatlas.search.sampling import DESIGNS
from archatlas.session import Run, measuring, scored
from archatlas.supernet import load_supernet, train_supernet, weights_digest

FORMAT = 1
"""Of `search.json` and `result.json`."""

FEWEST = 20
"""Scored sub-networks that a fit needs at least."""


def run_all(run: Run) -> dict[str, Any]:
    """Do every stage and return what `result.json` holds."""
    train_stage(run)
    found = search_stage(run)
    report = fit_stage(run)
    retrained = retrain_stage(run, parse_architecture(found["finalists"][0]["architecture"]))
    result = {
        "format": FORMAT,
        "space": run.space.name,
        "data": run.data.name,
        "seed": run.config.seed,
        "budgets": run.config.budgets,
        **found["finalists"][0],
        "evaluations": found["evaluations"],
        "held_out": dataclasses.asdict(report.rows[0]),
        "validation_accuracy": retrained.validation_accuracy,
        "validation_balanced_accuracy": retrained.validation_balanced_accuracy,
        "test_accuracy": retrained.test_accuracy,
        "test_balanced_accuracy": retrained.test_balanced_accuracy,
        "test_images": retrained.test_images,
    }
    if run.fabric.is_global_zero:
        write_json(run.path / "result.json", result)
        write_report(run.path)
    return result


def train_stage(run: Run) -> None:
    """Train the super-network."""
    with run.directory.stage("train", run.trained_from, "supernet") as done:
        if not done:
            with run.console.monitor("training the super-network", "step") as monitor:
                train_supernet(
                    run.space,
                    run.data,
                    run.config.supernet,
                    fabric=run.fabric,
                    seed=run.config.seed,
                    directory=run.path / "supernet",
                    monitor=monitor,
                )


def evaluate_stage(run: Run, architectures: list[Architecture], count: int) -> list[Evaluation]:
    """Score given architectures, or without any `count` of the configured design, into the store."""
    free = [range(choices) for choices in run.space.num_choices]
    design = DESIGNS[run.config.search.sampling.design]
    rows = as_array(architectures) if architectures else design(free, count, np.random.default_rng(run.config.seed))
    with measuring(run) as measure:
        return measure(rows)


def search_stage(run: Run) -> dict[str, Any]:
    """Search the space; returns what `search.json` holds: every finalist, best first."""
    with run.directory.stage("search", run.searched_from, "search.json") as done:
        if not done and run.fabric.is_global_zero:
            with measuring(run) as measure:
                problem = Problem(
                    graph=run.graph,
                    measure=measure,
                    predictor=build_predictor(run.config.predictor),
                    budgets=run.config.limits,
                    seed=run.config.seed,
                    log=run.console.log,
                )
                result = search(problem, run.config.search, segments=run.space.segments)
            write_json(run.path / "search.json", _described(result))
    return _read_found(run)


def fit_stage(run: Run) -> FitReport:
    """Fit the predictor to the sub-networks scored so far; writes `predictor/`, `atlas/` and `fit.json`.

    Networks that the search measured for their predicted score alone are left out: chosen so, they bias a fit.

    Raises:
        DataError: If too few sub-networks are scored.
    """
    listed = _read_found(run)["shortlisted"] if (run.path / "search.json").exists() else ()
    shortlisted = set(map(parse_architecture, listed))
    evaluations = [evaluation for architecture, evaluation in scored(run).items() if architecture not in shortlisted]
    if len(evaluations) < FEWEST:
        raise DataError(
            f"{len(evaluations)} sub-networks are scored, a fit needs at least {FEWEST}. Score some first: archatlas "
            f"evaluate {run.path}"
        )
    architectures = as_array([evaluation.architecture for evaluation in evaluations])
    scores = np.array([measured_score(evaluation) for evaluation in evaluations])
    config, seed = run.config.predictor, run.config.seed
    made_from = fingerprint(config.model_dump(), seed, architectures.tolist(), scores.tolist())
    with run.directory.stage("fit", made_from, "predictor", "atlas", "fit.json") as done:
        if not done and run.fabric.is_global_zero:
            fit_scores(run.graph, architectures, scores, config, seed=seed, directory=run.path)
    return load_report(run.path)


def retrain_stage(run: Run, architecture: Architecture) -> RetrainResult:
    """Train an architecture as a network of its own and test it once; writes `network/`."""
    config = run.config.retraining
    inputs = [weights_digest(run.space, run.path / "supernet")] if config.needs_supernet else []
    if config.distillation is not None:
        inputs.append(config.distillation.weights_digest)
    made_from = run.training_fingerprint(config, architecture, *inputs)
    with run.directory.stage("retrain", made_from, "network") as done:
        if not done:
            supernet = load_supernet(run.space, run.path / "supernet")[0] if config.needs_supernet else None
            with run.console.monitor(f"training the network {format_architecture(architecture)}", "step") as monitor:
                retrain(
                    run.space,
                    architecture,
                    run.data,
                    config,
                    fabric=run.fabric,
                    seed=run.config.seed,
                    directory=run.path / "network",
                    monitor=monitor,
                    supernet=supernet,
                )
    return load_result(run.path / "network")


def _read_found(run: Run) -> dict[str, Any]:
    return read_header(run.path / "search.json", FORMAT, ("evaluations", "finalists", "shortlisted"))


def _described(result: SearchResult) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "evaluations": result.num_evaluations,
        "finalists": [_candidate(candidate) for candidate in result.finalists],
        "shortlisted": [format_architecture(architecture) for architecture in result.shortlisted],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    assert candidate.measured is not None
    return {
        "architecture": format_architecture(candidate.architecture),
        "predicted_score": candidate.predicted,
        "one_shot_loss": candidate.measured.loss,
        "one_shot_accuracy": candidate.measured.accuracy,
        "costs": candidate.costs,
    }
