"""Enumerating whole spaces to Parquet: seconds, file size and peak memory. The last line is JSON."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from archatlas.atlas import enumerate_space
from archatlas.atlas.query import query_networks
from archatlas.costs.macs import count_costs
from archatlas.predictors.window_gcn import WindowGCN
from archatlas.spaces import SpaceGraph, chain_graph
from archatlas.spaces.mobile import mobile_cifar
from archatlas.spaces.nas_bench_macro import nas_bench_macro


def peak_mib() -> float:
    """Return the peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(graph: SpaceGraph, directory: Path) -> dict[str, float | int | str]:
    """Fit to noise, enumerate, query."""
    rng = np.random.default_rng(0)
    samples = graph_sample(graph, rng)
    fitted = WindowGCN().fit(graph, samples, rng.normal(size=len(samples)), seed=0)
    before = peak_mib()
    started = time.perf_counter()
    atlas = enumerate_space(fitted, directory)
    seconds = time.perf_counter() - started
    after = peak_mib()
    started = time.perf_counter()
    query_networks(directory / "networks.parquet", f"macs <= {np.median(atlas.values['macs'])} and std < 1", 10)
    return {
        "space": graph.name,
        "networks": atlas.size,
        "seconds": seconds,
        "query_s": time.perf_counter() - started,
        "file_mib": (directory / "networks.parquet").stat().st_size / 2**20,
        "peak_growth_mib": after - before,
    }


def graph_sample(graph: SpaceGraph, rng: np.random.Generator) -> np.ndarray:
    """Return 200 architectures."""
    return rng.integers(0, graph.num_choices, size=(200, len(graph.num_choices))).astype(np.uint8)


def main() -> None:
    """Run and print."""
    macro, mobile = nas_bench_macro(), mobile_cifar()
    graphs = [chain_graph(macro, count_costs(macro))]
    graphs.append(chain_graph(mobile, count_costs(mobile)).prefix(8))
    rows = []
    for graph in graphs:
        with tempfile.TemporaryDirectory() as directory:
            rows.append(measure(graph, Path(directory)))
            print(rows[-1], flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
