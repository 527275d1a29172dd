"""Stand-alone trainings of a run, by this process or by workers: every finished one is a row of `trainings.sqlite`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from archatlas.records import Architecture, Architectures, Evaluation, Floats, as_array, format_architecture
from archatlas.retraining import Recipe, RetrainingConfig, train_and_score
from archatlas.search.acquisition import Label
from archatlas.session import Run
from archatlas.store import EvaluationStore, Scope
from archatlas.workers import RayWorkers, Trainings, fanned_out

STORE = "trainings.sqlite"
CHECKPOINTS = "calibration"
"""Directory of the trainings under way; removed when all are done."""


@contextmanager
def labelling(run: Run, *, trainings: int) -> Iterator[Label]:
    """Yield what trains networks on the short schedule and returns their validation accuracies.

    What the store holds is not trained again, and a training that was stopped continues.

    Args:
        run: Its settings say who trains: `workers`, `ray`.
        trainings: Networks to train in all, to show how far it is.

    Raises:
        ConfigError: If the workers that the settings ask for cannot be had.
    """
    settings, store = _schedule(run), EvaluationStore(run.path / STORE)
    scope = Scope(supernet="stand-alone", data=run.data.digest, settings=run.training_fingerprint(settings))
    directory = run.path / CHECKPOINTS / scope.settings

    def known() -> dict[Architecture, Evaluation]:
        found: dict[Architecture, Evaluation] = run.directory.share(store.all(scope) if run.directory.leads else None)
        return found

    with _workers(run, settings, directory) as workers:

        def label(architectures: Architectures) -> Floats:
            done = known()
            missing = [row for row in map(tuple, architectures.tolist()) if row not in done]
            if workers is not None:
                evaluations = _by_workers(run, workers, missing)
            elif run.config.workers == "local":
                titles = [
                    f"training {min(len(done) + i, trainings)} of {trainings}" for i in range(1, len(missing) + 1)
                ]
                evaluations = _here(run, settings, directory, missing, titles)
            else:
                evaluations = iter(())  # the first process has the workers, the others wait for what it finds
            for evaluation in evaluations:
                if run.directory.leads:
                    store.add(scope, evaluation)
            done = known()
            return np.array([done[tuple(row)].accuracy for row in architectures.tolist()])

        yield label
    if run.directory.leads:
        shutil.rmtree(run.path / CHECKPOINTS, ignore_errors=True)


def _schedule(run: Run) -> RetrainingConfig:
    """Return the settings of retraining with fewer epochs, and without what only pays in long trainings."""
    epochs = run.config.calibration.epochs or -(-run.config.retraining.epochs // 3)
    warmup = min(run.config.retraining.warmup_epochs, epochs / 4)
    return run.config.retraining.model_copy(
        update={"epochs": epochs, "warmup_epochs": warmup, "init": "scratch", "recipe": Recipe(), "distillation": None}
    )


def _workers(run: Run, settings: RetrainingConfig, directory: Path) -> AbstractContextManager[RayWorkers | None]:
    """Return the workers of the first process; None where there are none, and on the other processes."""
    name = run.config.workers if run.directory.leads else "local"

    def subject() -> Trainings:
        directory.mkdir(parents=True, exist_ok=True)  # a machine that sees it shares the checkpoints
        return Trainings(
            task=run.task,
            settings=settings,
            precision=run.config.hardware.precision,
            seed=run.config.seed,
            directory=directory.resolve(),
        )

    return fanned_out(name, run.config.ray, subject)


def _by_workers(run: Run, workers: RayWorkers, missing: Sequence[Architecture]) -> Iterator[Evaluation]:
    with run.console.monitor("stand-alone trainings of this round", "network") as monitor:
        for done, evaluation in enumerate(workers([as_array([architecture]) for architecture in missing]), 1):
            yield evaluation
            monitor(done, len(missing), accuracy=evaluation.accuracy)


def _here(
    run: Run, settings: RetrainingConfig, directory: Path, missing: Sequence[Architecture], titles: Sequence[str]
) -> Iterator[Evaluation]:
    for title, architecture in zip(titles, missing, strict=True):
        name = format_architecture(architecture)
        with run.console.monitor(f"{title}, {name}", "step") as monitor:
            yield train_and_score(
                run.space,
                architecture,
                run.data,
                settings,
                fabric=run.fabric,
                seed=run.config.seed,
                directory=directory / name,
                monitor=monitor,
            )
