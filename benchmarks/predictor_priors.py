"""Set the priors of the two-stage order on public tables, one table left out at a time.

    python benchmarks/predictor_priors.py --tables ../shared/data --json priors.json

For every table with one-shot scores and a truth, each combination of priors is scored by three figures: tau, tau inside
the true top tenth, and the mean truth of the ten ranked first. A combination's regret on a table is the mean over the
figures of how far it stays below the best combination there (the third in units of the distance between the best
network and the median one). Chosen is the smallest mean regret over all tables but one; what that costs on the table
left out is printed. The screens are fitted once, by the default predictor and from the raw scores.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np

from archatlas.benchmarks.predictors import sample
from archatlas.benchmarks.tables import Task, find_tasks
from archatlas.predictors.effects import capacity
from archatlas.predictors.live import strip_dead
from archatlas.predictors.metrics import kendall_tau, mean_of_best, tau_in_top
from archatlas.predictors.order import OrderConfig, main_effects, threshold_at
from archatlas.predictors.targets import normal_scores
from archatlas.predictors.window_gcn import WindowGCN

GRID = {
    "keep": (0.1, 0.2, 0.3),
    "screen_capacity": (0.0, 0.2, 0.4, 0.6),
    "rank_capacity": (0.0, 0.1, 0.2, 0.4),
}
SHARING = (  # operator_std, stage_std, block_std
    (2.0, 2.0, 2.0),
    (2.0, 0.3, 0.3),
    (2.0, 0.3, 0.1),
    (2.0, 0.1, 0.1),
    (2.0, 2.0, 0.1),
    (2.0, 0.3, 0.05),
    (2.0, 0.3, 0.03),
)


def combinations() -> list[OrderConfig]:
    """Return every combination of priors."""
    return [
        OrderConfig(operator_std=o, stage_std=s, block_std=b, **dict(zip(GRID, values, strict=True)))
        for (o, s, b) in SHARING
        for values in itertools.product(*GRID.values())
    ]


def figures(task: Task, configs: list[OrderConfig], seeds: int, limit: int) -> np.ndarray:
    """Return `(screens, combinations, 3)`: tau, tau in the top tenth, mean truth of the ten best; means over fits."""
    assert task.one_shot is not None
    alive, size = (
        strip_dead(task.graph, task.architectures),
        capacity(task.graph)(strip_dead(task.graph, task.architectures)),
    )
    keep = np.random.default_rng(0).permutation(len(alive))[:limit]  # tau over a part: the grid is large
    results = []
    for seed, measured in itertools.product(range(seeds), task.one_shot):
        rows = sample(task, task.sizes[0], seed)
        fitted = WindowGCN().fit(task.graph, task.architectures[rows], measured[rows], seed=seed)
        targets = normal_scores(measured[rows])
        smooth: dict[tuple[float, ...], np.ndarray] = {}
        for flexible in (normal_scores(measured), fitted.predict(task.architectures).mean):
            for config in configs:
                key = (config.operator_std, config.stage_std, config.block_std)
                if key not in smooth:
                    smooth[key] = main_effects(task.graph, alive[rows], targets, config)(alive)
                screen = flexible + config.screen_capacity * size
                rank = smooth[key] + config.rank_capacity * size
                order = np.where(screen >= threshold_at(screen, config.keep), rank + 100.0, screen)
                results.append(
                    (
                        kendall_tau(order[keep], task.truth[keep]),
                        tau_in_top(order, task.truth, 0.1),
                        mean_of_best(order, task.truth, 10),
                    )
                )
    return np.array(results).reshape(-1, 2, len(configs), 3).mean(axis=0)


def regret(task: Task, values: np.ndarray) -> np.ndarray:
    """Return `(combinations,)`, mean over screens and figures."""
    scale = np.array([1.0, 1.0, float(task.truth.max() - np.median(task.truth))])
    return np.asarray(((values.max(axis=1, keepdims=True) - values) / scale).mean(axis=(0, 2)))


def main() -> None:
    """Print the choice without each table, and over all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--limit", type=int, default=2000, help="networks that tau over all is taken over")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    tasks = [task for task in find_tasks(arguments.tables) if task.one_shot is not None]
    configs = combinations()
    values = {task.name: figures(task, configs, arguments.seeds, arguments.limit) for task in tasks}
    regrets = {task.name: regret(task, values[task.name]) for task in tasks}
    default = min(range(len(configs)), key=lambda i: 0 if configs[i] == OrderConfig() else 1)
    chosen = {f"without {name}": [other for other in regrets if other != name] for name in regrets}
    report = []
    for label, used in [*chosen.items(), ("all tables", list(regrets)), ("the defaults", [])]:
        best = int(np.argmin(np.mean([regrets[name] for name in used], axis=0))) if used else default
        row = {"chosen": label, "priors": configs[best].model_dump()}
        for name in regrets:
            raw, fitted = values[name][:, best]
            row[name] = {"regret": float(regrets[name][best]), "raw_screen": list(raw), "fitted_screen": list(fitted)}
        report.append(row)
        print(json.dumps(row))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
