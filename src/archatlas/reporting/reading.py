"""What a run directory holds, finished or not: everything that a report shows, and nothing made up.

Only files are read; no lock is taken, no user code is loaded and nothing is changed, so a run may be looked at while
it is going on, and after it was killed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from archatlas.atlas import EnumeratedAtlas, FactoredAtlas, load_atlas
from archatlas.atlas.storage import HEADER, read_graph
from archatlas.errors import ConfigError
from archatlas.evaluation import EvaluationConfig
from archatlas.files import read_json, read_json_lines
from archatlas.fitting import REPORT, load_report
from archatlas.predictors.report import FitReport
from archatlas.records import STAGES, Architecture, Evaluation, parse_architecture
from archatlas.retraining import RetrainResult, load_result
from archatlas.spaces import SpaceGraph
from archatlas.store import EvaluationStore, Scope
from archatlas.training import Progress, read_progress

_NEEDS: Mapping[str, tuple[str, ...]] = {"search": ("train",), "fit": ("train", "search"), "retrain": ("search",)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunFacts:
    """A run as its files tell it. What is None or empty is not there (yet).

    Args:
        path: The run directory.
        is_table: Whether this is the fit of a user's own table, which has no super-network and no run.
        settings: Of `config.yaml`.
        settings_text: The same as written.
        data: What is known of the images.
        seconds: Time spent in each stage that was begun.
        done: The stages that are done.
        events: What happened, oldest first.
        graph: The space.
        supernet: Training of the super-network.
        evaluations: Every score that the super-network gave under these settings.
        finalists: What the search kept, best first.
        shortlisted: Networks that were measured for their predicted score alone.
        fit: Report of the fit.
        atlas: The fitted table of all networks.
        trained: The network that was trained on its own.
        retraining: Its training.
    """

    path: Path
    is_table: bool
    settings: Mapping[str, Any]
    settings_text: str
    data: Mapping[str, Any] | None
    seconds: Mapping[str, float]
    done: frozenset[str]
    events: Sequence[Mapping[str, Any]]
    graph: SpaceGraph | None
    supernet: Progress | None
    evaluations: Sequence[Evaluation]
    finalists: Sequence[Mapping[str, Any]]
    shortlisted: frozenset[str]
    fit: FitReport | None
    atlas: FactoredAtlas | EnumeratedAtlas | None
    trained: RetrainResult | None
    retraining: Progress | None

    @property
    def winner(self) -> Architecture | None:
        """The network that the search chose."""
        return parse_architecture(self.finalists[0]["architecture"]) if self.finalists else None

    @property
    def next_stage(self) -> str | None:
        """The first stage that is not done; None when all are."""
        return next((stage for stage in STAGES if stage not in self.done), None)

    @property
    def outdated(self) -> tuple[str, ...]:
        """Stages whose results are older than what they were made from: a stage before them was done again."""
        ended = {event["stage"]: i for i, event in enumerate(self.events) if event.get("event") == "stage done"}
        return tuple(
            stage
            for stage in STAGES
            if stage in self.done
            and any(need not in self.done or ended.get(need, 0) > ended.get(stage, 0) for need in _NEEDS.get(stage, ()))
        )


def read_run(path: Path) -> RunFacts:
    """Read a run directory, or the directory of a table's fit.

    Raises:
        ConfigError: If it is neither.
        ArtifactMismatchError: If a file is damaged.
    """
    is_table = (path / REPORT).is_file() and not (path / "stages.json").is_file()
    if not is_table and not (path / "stages.json").is_file():
        raise ConfigError(f"{path} holds no run of archatlas; expected a directory that `archatlas run` made.")
    stages = {} if is_table else {name: s for name, s in read_json(path / "stages.json").items() if name in STAGES}
    done = frozenset({"fit"} if is_table else {name for name, stage in stages.items() if stage["done"]})
    settings_text = _text(path / "config.yaml")
    settings = yaml.safe_load(settings_text) or {}
    data = read_json(path / "data.json") if (path / "data.json").exists() else None
    searched = read_json(path / "search.json") if "search" in done else {"finalists": (), "shortlisted": ()}
    atlas = load_atlas(path / "atlas") if "fit" in done and (path / "atlas" / HEADER).exists() else None
    return RunFacts(
        path=path,
        is_table=is_table,
        settings=settings,
        settings_text=settings_text,
        data=data,
        seconds={name: float(stage["seconds"]) for name, stage in stages.items()},
        done=done,
        events=tuple(read_json_lines(path / "events.jsonl")),
        graph=atlas.graph if atlas is not None else _graph(path / "space.json"),
        supernet=_training(path / "supernet", "supernet.json", done="train" in done),
        evaluations=_evaluations(path, settings),
        finalists=searched["finalists"],
        shortlisted=frozenset(searched.get("shortlisted", ())),
        fit=load_report(path) if "fit" in done else None,
        atlas=atlas,
        trained=load_result(path / "network") if "retrain" in done else None,
        retraining=_training(path / "network", "network.json", done="retrain" in done),
    )


def _training(directory: Path, header: str, *, done: bool) -> Progress | None:
    """Return how far a training is; of one that is done without reading its checkpoint, which may be large."""
    return Progress(share=1.0, history=read_json(directory / header)["history"]) if done else read_progress(directory)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _graph(path: Path) -> SpaceGraph | None:
    return read_graph(read_json(path), path) if path.exists() else None


def _evaluations(path: Path, settings: Mapping[str, Any]) -> tuple[Evaluation, ...]:
    if "evaluation" not in settings:  # the fit of a table
        return ()
    return tuple(read_evaluations(path, EvaluationConfig.model_validate(settings["evaluation"])).values())


def read_evaluations(path: Path, config: EvaluationConfig) -> dict[Architecture, Evaluation]:
    """Return the scores of the super-network that a run holds now, under given settings, ordered by architecture."""
    store, header = path / "evaluations.sqlite", path / "supernet" / "supernet.json"
    if not store.exists() or not header.exists():
        return {}
    made = read_json(header)
    scope = Scope(supernet=made["weights"], data=made["data"], settings=config.digest)
    return EvaluationStore(store).all(scope)
