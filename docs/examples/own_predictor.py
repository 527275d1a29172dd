"""A predictor and a sampling design of your own, in one file.

A predictor is anything with `name` and `fit`; what it returns predicts and ranks. Here: the mean score of all samples
that hold an operator. Because that is a sum over blocks, it also returns `terms`, and the atlas is exact at any size.
A design draws the sub-networks to measure. Here: every sample differs from the one before it in one block.

Run: `python docs/examples/own_predictor.py`. Measuring is a formula, so that nothing has to be trained.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archatlas.costs.macs import count_costs
from archatlas.predictors.metrics import kendall_tau
from archatlas.records import (
    Architectures,
    Evaluation,
    Floats,
    Prediction,
    TwoStageTerms,
    WindowTerms,
    as_array,
    format_architecture,
)
from archatlas.search import Problem, SamplingConfig
from archatlas.search.problem import measured_score
from archatlas.search.rounds import sample_in_rounds
from archatlas.spaces import SpaceGraph, chain_graph
from archatlas.spaces.user import load_space


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedMeans:
    """The fitted predictor; immutable."""

    graph: SpaceGraph
    terms: TwoStageTerms

    def predict(self, architectures: Architectures) -> Prediction:
        """Return mean and spread; this predictor knows no spread."""
        mean = self.terms.screen(architectures)
        return Prediction(mean=mean, std=np.zeros_like(mean))

    def rank(self, architectures: Architectures) -> Floats:
        """Return the order that search and atlas use."""
        return self.terms(architectures)

    def save(self, directory: Path) -> None:
        """Refuse: this example stays in memory."""
        raise NotImplementedError(f"cannot write to {directory}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorMeans:
    """For each block, what an operator's samples score above the average."""

    name: str = "operator_means"

    def fit(self, graph: SpaceGraph, architectures: Architectures, scores: Floats, *, seed: int) -> FittedMeans:  # noqa: ARG002
        """Fit; deterministic, so the seed is not needed."""
        centred = scores - scores.mean()
        terms = []
        for column, count in zip(architectures.T, graph.num_choices, strict=True):
            times = np.bincount(column, minlength=count)
            terms.append(np.bincount(column, weights=centred, minlength=count) / np.maximum(times, 1))
        windows = WindowTerms(radius=0, terms=tuple(terms), offset=float(scores.mean()))
        # No screen: every network passes a threshold of minus infinity.
        return FittedMeans(graph=graph, terms=TwoStageTerms(screen=windows, rank=windows, threshold=-np.inf))


def neighbours(num_choices: tuple[int, ...], count: int, rng: np.random.Generator) -> Architectures:
    """Draw a random walk `(count, L)`: each network differs from the one before it in one block."""
    network = rng.integers(0, num_choices)
    walk = []
    for _ in range(count):
        block = int(rng.integers(len(num_choices)))
        network[block] = rng.integers(num_choices[block])
        walk.append(network.copy())
    return as_array(walk)


def measure(architectures: Architectures) -> list[Evaluation]:
    """Stand in for the super-network: late blocks count more, and every measurement has an error of its own."""
    weights = np.linspace(0.5, 1.0, architectures.shape[1])
    noise = np.random.default_rng(architectures.astype(int).sum()).normal(scale=0.2, size=len(architectures))
    losses = 5.0 - np.sqrt(architectures) @ weights + noise
    return [
        Evaluation(architecture=tuple(map(int, row)), loss=float(loss), accuracy=0.0, num_images=1)
        for row, loss in zip(architectures, losses, strict=True)
    ]


def main() -> None:
    """Sample with the own design, fit the own predictor, ask the exact atlas."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    count = 60 if parser.parse_args().quick else 400

    space = load_space("digits")
    graph = chain_graph(space, count_costs(space))
    problem = Problem(graph=graph, measure=measure, predictor=OperatorMeans(), budgets=(), seed=0, log=print)
    sampled = sample_in_rounds(
        problem,
        graph,
        lambda n, rng: neighbours(graph.num_choices, n, rng),
        lambda rows: np.array([measured_score(evaluation) for evaluation in problem.measure(rows)]),
        SamplingConfig(round_size=20, floor=40, ceiling=count),
    )
    atlas = problem.atlas(sampled.fitted)
    everything = graph.canonical(space.all_architectures())
    noiseless = np.sqrt(everything) @ np.linspace(0.5, 1.0, everything.shape[1])
    tau = kendall_tau(atlas.score(everything), noiseless)
    best = atlas.best()
    print(f"{len(sampled.scores)} samples; tau with the formula without noise {tau:.3f}")
    print(f"best of {atlas.size}: {format_architecture(best.architecture)}, proven gap {best.certificate.gap:g}")


if __name__ == "__main__":
    main()
