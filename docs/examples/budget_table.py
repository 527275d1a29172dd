"""A budget question on a space that was fitted from a table of scores.

Scores may come from anywhere: another super-network, short trainings, a benchmark. This script makes up a table for
`nas-bench-macro` (8 blocks, 6,561 architectures), so that it runs without data; replace `made_up_table` by yours.

Run: `python docs/examples/budget_table.py fitted`.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from archatlas.atlas import load_atlas
from archatlas.errors import InfeasibleBudgetError
from archatlas.fitting import fit_table
from archatlas.predictors import PredictorConfig
from archatlas.records import Budget, format_architecture
from archatlas.reporting.html import write_report
from archatlas.spaces import ChainSpace
from archatlas.spaces.user import load_space


def made_up_table(space: ChainSpace, path: Path, count: int) -> None:
    """Write `count` random networks with a score: good operators count, late ones more, with noise."""
    rng = np.random.default_rng(0)
    rows = np.unique(space.sample(count, rng), axis=0)
    weights = np.linspace(1.0, 2.0, rows.shape[1])
    scores = np.sqrt(rows) @ weights + rng.normal(scale=1.0, size=len(rows))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("architecture", "score"))
        for row, score in zip(rows, scores, strict=True):
            writer.writerow((format_architecture(tuple(map(int, row))), f"{score:.4f}"))


def main() -> None:
    """Fit the table, ask under budgets, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="receives the table, the fit and the report")
    parser.add_argument("--quick", action="store_true", help="fewer scores, a ridge instead of the GCN")
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)

    space = load_space("nas-bench-macro")
    made_up_table(space, directory / "scores.csv", 60 if arguments.quick else 400)
    config = PredictorConfig.model_validate({"name": "ridge"} if arguments.quick else {})
    report = fit_table(directory / "scores.csv", space, config, seed=0, directory=directory)
    print(f"held-out tau {report.rows[0].tau:.3f} on {report.num_held_out} networks")

    atlas = load_atlas(directory / "atlas")
    for name, upper in (("macs", 60e6), ("params", 0.5e6)):
        best = atlas.best([Budget(cost=name, upper=upper)])
        place = atlas.percentile(best.architecture, name)
        print(
            f"{name} <= {upper:,.0f}: {format_architecture(best.architecture)} ({best.costs[name]:,.0f}), "
            f"better than all but {place.upper:.2%} of the networks of about that cost"
        )
    try:  # what cannot be met is refused, with what could be
        atlas.best([Budget(cost="macs", upper=1e6)])
    except InfeasibleBudgetError as error:
        print(error)
    print(f"report: {write_report(directory)}")


if __name__ == "__main__":
    main()
