"""The exact atlas on fairnas (6^19 networks) with windows of five blocks, on one core.

Fits a WindowGCN to synthetic scores, then times every kind of answer, checks the table against the GCN run densely on
279,936 architectures of a seven-block segment, and sets the exact optimum against regularised evolution at three
MACs budgets on the same fitted predictor. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch

from archatlas.atlas import FactoredAtlas, tabulate
from archatlas.costs.macs import count_costs
from archatlas.predictors.encoding import encode
from archatlas.predictors.network import WindowNetwork
from archatlas.predictors.tabulate import tabulate as tabulate_network
from archatlas.predictors.window_gcn import WindowGCN
from archatlas.records import Architectures, Budget, Floats, WindowTerms, as_array
from archatlas.spaces import SpaceGraph, chain_graph
from archatlas.spaces.mobile import fairnas

T = TypeVar("T")
_EVOLUTION_CALLS = 20_000


def timed(work: Callable[[], T], repeats: int = 1) -> tuple[float, T]:
    """Return the shortest wall time of some repeats, in seconds, and the last result."""
    best = np.inf
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - started)
    return best, result


def synthetic_scores(graph: SpaceGraph, architectures: Architectures, rng: np.random.Generator) -> Floats:
    """Return scores with main effects, neighbour interactions, a MACs trend and noise."""
    main = rng.normal(size=(19, 6))
    pairs = rng.normal(size=(18, 6, 6)) * 0.3
    score = main[np.arange(19), architectures].sum(axis=1)
    score += pairs[np.arange(18), architectures[:, :-1], architectures[:, 1:]].sum(axis=1)
    macs = graph.costs["macs"](architectures)
    return score + 3 * (macs - macs.mean()) / macs.std() + rng.normal(size=len(architectures))


def networks(graph: SpaceGraph, members: int) -> list[WindowNetwork]:
    """Return GCNs of the default width with random read-outs: times and equality do not depend on training."""
    torch.manual_seed(0)
    made = [WindowNetwork(encode(graph, as_chain=True), hidden=64, layers=2) for _ in range(members)]
    for network in made:
        torch.nn.init.normal_(network.readout, std=0.125)
        torch.nn.init.normal_(network.effects)
    return made


@torch.no_grad()
def dense(network: WindowNetwork, graph: SpaceGraph, architectures: Architectures) -> Floats:
    """Run the GCN itself, in chunks."""
    encoding = encode(graph, as_chain=True)
    chunks = np.array_split(architectures, max(1, len(architectures) // 2048))
    return np.concatenate([network(encoding.rows(chunk)).numpy() for chunk in chunks])


def segment(graph: SpaceGraph, rng: np.random.Generator, quick: bool) -> dict[str, float]:
    """Score the architectures of a seven-block segment, in random order, from the table and by the GCN."""
    head = graph.prefix(7)
    (network,) = networks(head, 1)
    terms = tabulate_network(network, head.num_choices)
    everything = as_array(np.indices((6,) * 7).reshape(7, -1).T)[rng.permutation(6**7)]
    table_s, scores = timed(lambda: terms(everything), repeats=9)
    part = everything[:: 16 if quick else 1]
    dense_s, reference = timed(lambda: dense(network, head, part))
    return {
        "segment_ms": table_s * 1e3,
        "ratio_to_dense": dense_s * (len(everything) / len(part)) / table_s,
        "max_abs_difference": float(np.abs(scores[:: 16 if quick else 1] - reference).max()),
    }


def evolution(atlas: FactoredAtlas, budget: Budget, calls: int, rng: np.random.Generator) -> float:
    """Return the best score that regularised evolution finds within a budget (population 100, tournament 25)."""
    cost = atlas.cost_terms[budget.cost]
    cheapest = [int(np.argmin(term)) for term in cost.terms]
    population: list[tuple[float, np.ndarray]] = []
    best = -np.inf
    for call in range(calls):
        if call < 100:
            child = rng.integers(0, 6, 19)
        else:
            picked = rng.integers(0, len(population), 25)
            child = max((population[i] for i in picked), key=lambda pair: pair[0])[1].copy()
            child[rng.integers(0, 19)] = rng.integers(0, 6)
        for block in rng.permutation(19):  # repair: a random block at a time becomes the cheapest operator
            if cost(as_array([child]))[0] <= budget.upper:
                break
            child[block] = cheapest[block]
        score = float(atlas.score(as_array([child]))[0])
        best = max(best, score)
        population.append((score, child))
        population = population[-100:]
    return best


def versus_evolution(atlas: FactoredAtlas, rng: np.random.Generator, calls: int) -> list[dict[str, Any]]:
    """Compare at three budgets."""
    rows = []
    for upper in (300e6, 350e6, 400e6):
        budget = Budget(cost="macs", upper=upper)
        exact_s, exact = timed(lambda budget=budget: atlas.best([budget]))
        evolution_s, score = timed(lambda budget=budget: evolution(atlas, budget, calls, rng))
        rows.append(
            {
                "macs": upper,
                "exact_score": exact.score,
                "exact_s": exact_s,
                "gap": exact.certificate.gap,
                "evolution_score": score,
                "evolution_s": evolution_s,
                "calls": calls,
            }
        )
        print(rows[-1], flush=True)
    return rows


def main(quick: bool) -> None:
    """Run and print."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    space = fairnas()
    graph = chain_graph(space, count_costs(space))
    samples = space.sample(200 if quick else 2000, rng)
    fit_s, fitted = timed(lambda: WindowGCN().fit(graph, samples, synthetic_scores(graph, samples, rng), seed=0))
    print(f"fit {fit_s:.1f} s", flush=True)
    members = networks(graph, 5)
    terms: WindowTerms = fitted.terms.screen
    assert terms.radius == 2
    tabulate_s, _ = timed(lambda: [tabulate_network(network, graph.num_choices) for network in members])
    atlas_s, atlas = timed(lambda: tabulate(graph, fitted.terms))
    low, high = (atlas.summaries()[0].minimum, atlas.summaries()[0].median)
    tight = Budget(cost="macs", upper=(low + high) / 2)
    params = Budget(cost="params", upper=atlas.best([tight]).costs["params"] * 0.97)
    top_s, (top, bound) = timed(lambda: atlas.ranking(1000))
    budget_s, best = timed(lambda: atlas.best([tight]))
    two_s, both = timed(lambda: atlas.best([tight, params]))
    front_s, front = timed(lambda: atlas.pareto("macs", 512))
    density_s, density = timed(lambda: (atlas.density("macs"), atlas.density("macs", "screen")))
    result: dict[str, Any] = {
        "tabulate_s": tabulate_s + atlas_s,
        "top1000_s": top_s,
        "top1000_proven": bound <= top[-1][1],
        "budget_s": budget_s,
        "budget_gap": best.certificate.gap / abs(best.score),
        "two_budgets_s": two_s,
        "two_budgets_gap": both.certificate.gap / abs(both.score),
        "front_s": front_s,
        "front_points": len(front),
        "front_gap": max(answer.certificate.gap for answer in front),
        "front_score_range": front[-1].score - front[0].score,
        "density_s": density_s,
        "density_bins": [part.counts.shape for part in density],
        "density_error": [
            [axis.error / (axis.width * (axis.bins - 1)) for axis in (part.cost, part.score)] for part in density
        ],
        "share_better_than_best_at_its_macs": atlas.percentile(best.architecture, "macs").upper,
        "density_exact": [part.total == 6**19 for part in density],
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        **segment(graph, rng, quick),
    }
    calls = 1_000 if quick else _EVOLUTION_CALLS
    result["versus_evolution"] = versus_evolution(atlas, rng, calls)
    result["fit_s"], result["quick"] = fit_s, quick
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer samples and predictor calls, under a minute")
    main(parser.parse_args().quick)
