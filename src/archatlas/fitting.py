"""From scores to a predictor, its report and its atlas, on disk."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from archatlas.atlas import enumerate_space, tabulate
from archatlas.atlas.networks import MOST_ARCHITECTURES
from archatlas.costs.macs import count_costs
from archatlas.files import read_header, write_json
from archatlas.predictors import PredictorConfig, WindowedPredictor, build_predictor
from archatlas.predictors.baselines import Ridge
from archatlas.predictors.report import Agreement, FitReport, Point, fit_report
from archatlas.predictors.table import read_scores
from archatlas.records import Architectures, Floats
from archatlas.spaces import ChainSpace, SpaceGraph, chain_graph

REPORT = "fit.json"
FORMAT = 1


def fit_table(table: Path, space: ChainSpace, config: PredictorConfig, *, seed: int, directory: Path) -> FitReport:
    """Fit a predictor to a user's own table of scores; writes what `fit_scores` writes.

    Raises:
        DataError: If the table cannot be fitted; names the line.
    """
    architectures, scores = read_scores(table, space.validate)
    graph = chain_graph(space, count_costs(space))
    return fit_scores(graph, architectures, scores, config, seed=seed, directory=directory)


def fit_scores(
    graph: SpaceGraph,
    architectures: Architectures,
    scores: Floats,
    config: PredictorConfig,
    *,
    seed: int,
    directory: Path,
) -> FitReport:
    """Fit to scores `(A,)` (higher is better) of `(A, L)`; writes `predictor/`, `atlas/` and last `fit.json`."""
    predictor = build_predictor(config)
    baselines = () if predictor.name == "ridge" else (Ridge(order=config.order),)
    report = fit_report([predictor, *baselines], graph, architectures, scores, seed=seed)
    fitted = predictor.fit(graph, architectures, scores, seed=seed)
    fitted.save(directory / "predictor")
    if isinstance(fitted, WindowedPredictor):
        tabulate(graph, fitted.terms).save(directory / "atlas")
    elif math.prod(graph.num_choices) <= MOST_ARCHITECTURES:
        enumerate_space(fitted, directory / "atlas")
    write_json(directory / REPORT, {"format": FORMAT, **dataclasses.asdict(report)})
    return report


def load_report(directory: Path) -> FitReport:
    """Return the report that `fit_scores` wrote."""
    names = [field.name for field in dataclasses.fields(FitReport)]
    described = read_header(directory / REPORT, FORMAT, names)
    rows = tuple(Agreement(**row) for row in described["rows"])
    points = tuple(Point(**point) for point in described["points"])
    return FitReport(**{name: described[name] for name in names} | {"rows": rows, "points": points})
