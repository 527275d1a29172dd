"""Latency tables of this machine, budgets that hold when measured again, and latency learnt from whole networks.

1. Measures a table per space under ONNX Runtime, one thread, one image, and compares it with 50 held-out networks.
2. Asks the atlas of that table for the best networks under five latency budgets and times them again; the 50 held-out
   networks with them: how far two measurements agree (`tau_again`, `mape_again`) is the most that a model can reach.
3. Compares budget searches on nas-bench-macro (two budgets at once) with enumeration.
4. Fits latency to 100 and 400 whole networks of public devices (HELP), beside an additive ridge and a ridge with
   effects per stage, on the rest; skipped where the table is absent.

The last line is JSON. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from archatlas.atlas import tabulate
from archatlas.benchmarks.rows import score_row
from archatlas.benchmarks.tables import FBNET, FBNET_DEVICES, fbnet_latency
from archatlas.costs.agreement import agreement
from archatlas.costs.choices import choosing
from archatlas.costs.jobs import Plan
from archatlas.costs.latency import HELD_OUT, LATENCY, LatencyTable
from archatlas.costs.macs import count_costs
from archatlas.costs.measuring import TURNS, conditions_of, measure, time_networks
from archatlas.costs.parts import table_of_parts
from archatlas.costs.timing_onnx import OnnxBackend
from archatlas.predictors.baselines import Ridge
from archatlas.predictors.effects import fit_effects, prior_covariance
from archatlas.predictors.learned_cost import learn_cost
from archatlas.records import Budget, TwoStageTerms, WindowTerms, format_architecture
from archatlas.spaces import ChainSpace, SpaceGraph, chain_graph
from archatlas.spaces.user import load_space

QUICK = Plan(batch=1, repeats=2, fitted=10, held_out=10, chosen=5, parts=True, seed=0)
FULL = Plan(batch=1, repeats=TURNS, fitted=40, held_out=50, chosen=30, parts=True, seed=0)


def measured(space: ChainSpace, backend: OnnxBackend, plan: Plan, directory: Path) -> tuple[LatencyTable, float]:
    """Return the table of a space and the seconds that it took."""
    started = time.perf_counter()
    conditions = conditions_of(space, backend, plan.batch)
    choose = choosing(space, conditions, plan)
    rows = measure(space, backend, plan, directory / f"{space.name}.jsonl", choose=choose)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return table_of_parts(space, conditions, rows, date), time.perf_counter() - started


def costed(space: ChainSpace, table: LatencyTable) -> SpaceGraph:
    """Return the graph of a space with its latency."""
    return chain_graph(space, {**count_costs(space), LATENCY: table.cost})


def some_order(graph: SpaceGraph) -> TwoStageTerms:
    """Return an order that wants large networks, so that budgets bind; which network is better does not matter here."""
    rng = np.random.default_rng(0)
    macs = graph.costs["macs"].terms.terms
    score = WindowTerms(radius=0, terms=tuple(np.log1p(m) / 10 + 0.3 * rng.normal(size=len(m)) for m in macs))
    return TwoStageTerms(screen=score, rank=score, threshold=-np.inf)


def answers(space: ChainSpace, table: LatencyTable, levels: int) -> dict[str, float]:
    """Return the best networks under latency budgets over the range of the space, and those budgets in milliseconds."""
    graph = costed(space, table)
    atlas = tabulate(graph, some_order(graph))
    low, high = table.cost.minimum, table.cost.maximum
    budgets = [float(low + share * (high - low)) for share in np.linspace(0.25, 0.75, levels)]
    found: dict[str, float] = {}
    for upper in budgets:
        best = format_architecture(atlas.best([Budget(cost=LATENCY, upper=upper)]).architecture)
        found.setdefault(best, upper)  # the strictest, where two budgets have one answer
    return found


def remeasured(space: ChainSpace, table: LatencyTable, backend: OnnxBackend, plan: Plan) -> dict[str, Any]:
    """Time the answers to five budgets again, and the held-out networks; return how many break budget and margin.

    `drift` is by how much the held-out networks take longer in the median than when the table was made. They are timed
    in the same turns as the answers, so it is the device that changed, and an answer is given that much more time.
    """
    found = answers(space, table, levels=5)
    before = {row.architecture: row.ms for row in table.rows if row.part == HELD_OUT}
    times = time_networks(space, backend, [*found, *before], batch=plan.batch, repeats=plan.repeats)
    first, second = np.array(list(before.values())), np.array([times[text].median_ms for text in before])
    drift, violations, as_timed = float(np.median(second / first)), 0, 0
    for text, upper in found.items():
        ms = times[text].median_ms
        as_timed += ms > upper * (1 + table.margin)
        violations += ms > upper * (1 + table.margin) * drift
        print(f"{space.name} {text}: budget {upper:.4f} ms, took {ms:.4f} ms, {ms / upper - 1:+.1%}", flush=True)
    again = agreement(second, first)
    return {
        "budget_violations": violations,
        "budget_violations_with_drift": as_timed,
        "drift": drift,
        "tau_again": again.tau,
        "mape_again": again.mape,
    }


def wrong_optima(space: ChainSpace, table: LatencyTable) -> int:
    """Return how many of 25 pairs of budgets the atlas answers other than enumeration does."""
    graph = costed(space, table)
    order = some_order(graph)
    atlas = tabulate(graph, order)
    everything = space.all_architectures()
    networks = everything[space.is_canonical(everything)]
    scores = order(networks)
    costs = {name: graph.costs[name](networks) for name in ("macs", LATENCY)}
    wrong = 0
    for macs in np.quantile(costs["macs"], (0.1, 0.3, 0.5, 0.7, 0.9)):
        for ms in np.quantile(costs[LATENCY], (0.1, 0.3, 0.5, 0.7, 0.9)):
            admitted = (costs["macs"] <= macs) & (costs[LATENCY] <= ms)
            if admitted.any():
                best = atlas.best([Budget(cost="macs", upper=float(macs)), Budget(cost=LATENCY, upper=float(ms))])
                wrong += int(not np.isclose(best.score, scores[admitted].max()))
    return wrong


def staged_ridge(graph: SpaceGraph, rows: np.ndarray, values: np.ndarray) -> WindowTerms:
    """Return a ridge with an effect per operator and stage beside the one per operator and block."""
    level, spread = float(values.mean()), float(values.std())
    covariance = prior_covariance(graph, operator_std=0.0, stage_std=0.3, block_std=0.1)
    terms = fit_effects(graph, rows, (values - level) / spread, covariance, noise_variance=0.1)
    return WindowTerms(
        radius=0, terms=tuple(spread * term for term in terms.terms), offset=level + spread * terms.offset
    )


def public_devices(tables: Path, *, quick: bool) -> dict[str, Any]:
    """Return tau and MAPE on the rest of the networks, means over seeds, per device and number of measured ones."""
    found: dict[str, Any] = {}
    for task in fbnet_latency(tables / FBNET):
        device = task.name.partition("/")[2]
        if quick and device not in FBNET_DEVICES[:2]:
            continue
        for n in (100,) if quick else (100, 400):
            columns: dict[str, list[float]] = {}
            for seed in range(1 if quick else 3):
                rows = np.random.default_rng(seed).choice(len(task.truth), n, replace=False)
                rest = np.setdiff1d(np.arange(len(task.truth)), rows)
                samples, values = task.architectures[rows], task.truth[rows]
                started = time.perf_counter()
                learnt = learn_cost(task.graph, samples, values, seed=seed)
                columns.setdefault("fit_s", []).append(time.perf_counter() - started)
                models = {
                    "window": learnt,
                    "additive": Ridge.fit_values(task.graph, samples, values),
                    "staged": staged_ridge(task.graph, samples, values),
                }
                for name, terms in models.items():
                    predicted, truth = terms(task.architectures[rest]), task.truth[rest]
                    row = score_row(task.name, name, predicted, truth, n=n, seed=seed, fit_s=0.0, is_cost=True)
                    columns.setdefault(f"tau_{name}", []).append(row.tau)
                    columns.setdefault(f"mape_{name}", []).append(float(np.mean(np.abs(predicted - truth) / truth)))
            means = {name: round(float(np.mean(values)), 4) for name, values in columns.items()}
            found[f"{device}/{n}"] = means
            print(device, n, means, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=["nas-bench-macro", "mobile-cifar"], help="to be measured")
    parser.add_argument("--quick", action="store_true", help="under a minute: one small space, few networks")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a pass")
    parser.add_argument(
        "--tables",
        type=Path,
        default=Path(os.environ.get("ARCHATLAS_TABLES", "../shared/data")),
        help="folder of the public tables",
    )
    arguments = parser.parse_args()
    backend = OnnxBackend(threads=arguments.threads)
    plan = QUICK if arguments.quick else FULL
    result: dict[str, Any] = {"device": backend.device, "runtime": backend.runtime, "spaces": {}}
    with tempfile.TemporaryDirectory() as directory:
        for name in ["digits"] if arguments.quick else arguments.spaces:
            space = load_space(name)
            table, seconds = measured(space, backend, plan, Path(directory))
            print(f"{name}: {seconds:.0f} s, {table.model}; {table.agreement}", flush=True)
            assert table.agreement is not None
            result["spaces"][name] = {
                "seconds": round(seconds, 1),
                "mape": table.agreement.mape,
                "tau": table.agreement.tau,
                "worst": table.agreement.worst,
                "margin": table.margin,
                **remeasured(space, table, backend, plan),
            }
            if space.size < 10_000:
                result["wrong_optima"] = wrong_optima(space, table)
    for key in ("mape", "worst", "budget_violations"):
        result[key] = max(facts[key] for facts in result["spaces"].values())
    result["tau"] = min(facts["tau"] for facts in result["spaces"].values())
    if (arguments.tables / FBNET).is_file():
        result["help"] = public_devices(arguments.tables, quick=arguments.quick)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
