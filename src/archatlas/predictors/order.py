"""The order of a predictor: its flexible score screens, main effects with a capacity prior rank the survivors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from archatlas.predictors.effects import add, capacity, fit_effects, prior_covariance
from archatlas.predictors.live import strip_dead
from archatlas.records import Architectures, Floats, TwoStageTerms, WindowTerms, two_stage
from archatlas.spaces import SpaceGraph


class OrderConfig(BaseModel):
    """How smooth the order is. Priors about one-shot scores, set on public tables; see the docs page `predictors`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: float = Field(
        default=0.3, gt=0, le=1, description="Share of the space that survives the screen; 1 = no screen."
    )
    screen_capacity: float = Field(default=0.4, ge=0, description="Weight of the capacity prior in the screen.")
    rank_capacity: float = Field(default=0.1, ge=0, description="Weight of the capacity prior among the survivors.")
    operator_std: float = Field(
        default=2.0, ge=0, description="Prior spread of an operator's effect that all blocks share."
    )
    stage_std: float = Field(default=0.3, ge=0, description="Prior spread of what a stage adds to it.")
    block_std: float = Field(default=0.05, ge=0, description="Prior spread of what a single block adds to it.")
    samples: float = Field(
        default=800.0,
        gt=0,
        description="Number of samples beyond which more do not weaken the priors: the error is systematic.",
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Order:
    """The two-stage order over any flexible score.

    Args:
        bonus: Capacity prior of the screen, additive over blocks.
        rank: Main effects with their capacity prior.
        threshold: Smallest screen of a survivor; minus infinity keeps all.
    """

    bonus: WindowTerms
    rank: WindowTerms
    threshold: float

    def __call__(self, flexible: Floats, architectures: Architectures) -> Floats:
        """Return `(A,)`, higher is better.

        Args:
            flexible: `(A,)` flexible scores, higher is better.
            architectures: `(A, L)`, with dead operators stripped.
        """
        return two_stage(flexible + self.bonus(architectures), self.rank, self.threshold, architectures)

    def terms(self, flexible: WindowTerms) -> TwoStageTerms:
        """Return the same order as window terms, where the flexible score is a sum over windows."""
        screen = add((1.0, flexible), (1.0, self.bonus))
        return TwoStageTerms(screen=screen, rank=self.rank, threshold=self.threshold)


def main_effects(graph: SpaceGraph, architectures: Architectures, targets: Floats, config: OrderConfig) -> WindowTerms:
    """Return the main effects `(A, L)`, `(A,)` -> additive terms under the priors of `config`."""
    covariance = prior_covariance(
        graph, operator_std=config.operator_std, stage_std=config.stage_std, block_std=config.block_std
    )
    noise = max(1.0, len(targets) / config.samples)
    return fit_effects(graph, architectures, targets, covariance, noise_variance=noise)


def flexible_prior_root(graph: SpaceGraph) -> Floats:
    """Return `R` `(D, D)` with `R R^T` the prior covariance of main effects in a flexible score, scale aside.

    Weaker sharing than in `main_effects`: this score shall follow the samples.
    """
    root = np.linalg.cholesky(prior_covariance(graph, operator_std=1.0, stage_std=1.0, block_std=0.5))
    return np.asarray(root, dtype=float)


def smooth_rank(graph: SpaceGraph, architectures: Architectures, targets: Floats, config: OrderConfig) -> WindowTerms:
    """Return the score that ranks survivors: main effects plus `rank_capacity` times the capacity."""
    effects = main_effects(graph, architectures, targets, config)
    return add((1.0, effects), (config.rank_capacity, capacity(graph)))


def reference_architectures(graph: SpaceGraph, *, seed: int, limit: int = 20_000) -> Architectures:
    """Return the whole space if it is no larger than `limit`, else `limit` uniform architectures, dead parts stripped.

    Quantiles of the screen are taken over these.
    """
    if math.prod(graph.num_choices) <= limit:
        every = np.indices(graph.num_choices, dtype=np.uint8).reshape(len(graph.num_choices), -1).T
        return strip_dead(graph, every)
    draws = np.random.default_rng(seed).integers(0, graph.num_choices, size=(limit, len(graph.num_choices)))
    return strip_dead(graph, draws.astype(np.uint8))


def threshold_at(screen: Floats, keep: float) -> float:
    """Return the value that the best share `keep` of screens `(A,)` reaches; minus infinity for 1."""
    return float(np.quantile(screen, 1.0 - keep)) if keep < 1 else -math.inf


def build_order(
    graph: SpaceGraph,
    architectures: Architectures,
    targets: Floats,
    flexible: Callable[[Architectures], Floats],
    config: OrderConfig,
    *,
    seed: int,
) -> Order:
    """Return the two-stage order over a flexible score.

    Args:
        graph: The space.
        architectures: `(A, L)` samples without dead operators.
        targets: `(A,)` their normal scores.
        flexible: `(A, L)` -> `(A,)`, the fitted score that screens.
        config: Settings.
        seed: Of the architectures that the screen's quantile is taken over.
    """
    bonus = add((config.screen_capacity, capacity(graph)))
    reference = reference_architectures(graph, seed=seed)
    return Order(
        bonus=bonus,
        rank=smooth_rank(graph, architectures, targets, config),
        threshold=threshold_at(flexible(reference) + bonus(reference), config.keep),
    )
