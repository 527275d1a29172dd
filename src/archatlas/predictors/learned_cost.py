"""A cost that is learnt from whole networks, such as the latency of a device whose parts nobody has timed.

With fewer measurements than operators to price, blocks must share strength. What an operator costs at a block is
modelled as a Gaussian process over pairs (block, operator): an amplitude of the block's stage, times a profile over
operators that all blocks share, times how blocks relate (all, those that open a stage, those of one stage, each on its
own). The costs that are known of an operator at its block (MACs, parameters) enter as linear terms. All variances, the
amplitudes and the profile are those of largest evidence; nothing needs to be known of what an operator is.

Measured times have outliers, always upwards. The error of a measurement is therefore Student's t with 4 degrees of
freedom, fitted by reweighting: each measurement gets the variance that its own residual suggests.

The posterior mean is a sum over blocks, or over windows of neighbours with `radius` 1, in the unit of the values.

Legend: `A` networks, `L` blocks, `P = sum_i O_i` pairs (block, operator), `S` stages, `O` largest number of operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from archatlas.predictors.effects import add, one_hot
from archatlas.predictors.tabulate import check_size
from archatlas.predictors.targets import check_samples
from archatlas.records import Architectures, Floats, WindowTerms
from archatlas.spaces import SpaceGraph

_FREEDOM = 4.0
_ROUNDS = 3
_STEPS = (60, 25, 25)
_LEAST_NOISE = 1e-5
_ROUNDING = 1e-12
_LEVEL_VARIANCE = 9.0  # of the mean of all networks, in variances of the values
_MOST_FOR_EVIDENCE = 400
KNOWN_COSTS = ("macs", "params")


def learn_cost(
    graph: SpaceGraph, architectures: Architectures, values: Floats, *, seed: int, radius: int = 0
) -> WindowTerms:
    """Fit a cost to whole networks.

    Args:
        graph: The space, a chain.
        architectures: `(A, L)` measured networks.
        values: `(A,)` what they cost, in any unit.
        seed: Of the start of the climb, and of the networks that the evidence is taken over where there are many.
        radius: 0 adds up over blocks. 1 lets neighbours interact; on five public devices that predicted worse. No more
            than 1.

    Returns:
        Window terms whose sum is the predicted cost, in the unit of `values`.

    Raises:
        DataError: If the samples cannot be fitted.
    """
    check_samples(graph.num_choices, architectures, values)
    check_size(graph.num_choices, radius)
    rows = graph.canonical(architectures)
    level, spread = float(np.median(values)), float(values.std())
    goal = torch.from_numpy((values - level) / spread)
    chosen = np.random.default_rng(seed).permutation(len(rows))[:_MOST_FOR_EVIDENCE]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = _Prior(graph, radius)
    _climb(prior, _Samples.of(graph, rows[chosen]), goal[chosen])
    samples = _Samples.of(graph, rows)
    with torch.no_grad():
        covariance = prior.covariance(samples, samples)
        noise = _reweighted(covariance, goal, prior.noise, torch.ones(len(goal), dtype=torch.float64))
        weights = torch.linalg.solve(covariance + torch.diag(prior.noise * noise), goal)
        terms = prior.terms(graph, samples, weights)
    level_terms = WindowTerms(radius=0, terms=tuple(np.zeros(count) for count in graph.num_choices), offset=level)
    return add((spread, terms), (1.0, level_terms))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Samples:
    """Networks as tensors: which pairs they hold `(A, P)`, and their operators `(A, L)`."""

    pairs: torch.Tensor
    operators: torch.Tensor

    @staticmethod
    def of(graph: SpaceGraph, rows: Architectures) -> _Samples:
        pairs = torch.from_numpy(one_hot(graph.num_choices, rows)) / len(graph.num_choices) ** 0.5
        return _Samples(pairs=pairs, operators=torch.from_numpy(rows.astype(np.int64)))


class _Prior(nn.Module):
    """The covariance of what operators cost at blocks, and its parameters."""

    def __init__(self, graph: SpaceGraph, radius: int) -> None:
        super().__init__()
        stages = np.unique(graph.stages, return_inverse=True)[1]
        opens = np.concatenate([[True], stages[1:] != stages[:-1]])
        counts, operators = graph.num_choices, max(graph.num_choices)
        self.radius, self.counts = radius, counts
        self.block = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
        self.operator = torch.from_numpy(np.concatenate([np.arange(count) for count in counts]))
        self.stage, self.opens = torch.from_numpy(stages), torch.from_numpy(opens)
        alike = 2 * self.stage + self.opens
        self.relations = torch.stack(
            [
                torch.ones(len(counts), len(counts)),
                (self.opens[:, None] == self.opens),
                (alike[:, None] == alike),
                torch.eye(len(counts)),
            ]
        ).double()
        self.known = _known(graph)
        zeros = torch.zeros(int(stages.max()) + 1, dtype=torch.float64)
        self.profile = nn.Parameter(0.3 * torch.randn(operators, dtype=torch.float64))
        self.log_own = nn.Parameter(torch.full((operators,), -2.0, dtype=torch.float64))
        self.log_amplitude = nn.Parameter(zeros)
        self.log_opening = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.log_relations = nn.Parameter(torch.tensor([0.0, -2.0, -2.0, -3.0], dtype=torch.float64))
        self.log_known = nn.Parameter(torch.full((self.known.shape[1],), -1.0, dtype=torch.float64))
        self.log_neighbours = nn.Parameter(torch.tensor(-3.0, dtype=torch.float64))
        self.log_noise = nn.Parameter(torch.tensor(-2.0, dtype=torch.float64))

    @property
    def noise(self) -> torch.Tensor:
        """Variance of a measurement, in variances of the values."""
        return self.log_noise.exp() + _LEAST_NOISE

    def penalty(self) -> torch.Tensor:
        """Return minus the log density of the parameters themselves: broad Gaussians around plausible values."""
        parts = [
            (self.profile, 0.0, 1.0),
            (self.log_own, -2.0, 1.4),
            (self.log_amplitude, 0.0, 0.7),
            (self.log_opening, 0.0, 1.0),
            (self.log_relations, -2.0, 2.0),
            (self.log_known, -1.0, 2.0),
            (self.log_neighbours, -3.0, 2.0),
            (self.log_noise, -2.0, 2.0),
        ]
        total = torch.zeros((), dtype=torch.float64)
        for parameter, mean, std in parts:
            total = total + 0.5 * ((parameter - mean) / std).square().sum()
        return total

    def profiles(self) -> torch.Tensor:
        """Return the covariance `(O, O)` of operators."""
        return torch.outer(self.profile, self.profile) + torch.diag(self.log_own.exp())

    def effects(self) -> torch.Tensor:
        """Return the covariance `(P, P)` of pairs."""
        amplitude = (self.log_amplitude[self.stage] + self.log_opening * self.opens).exp()
        blocks = torch.einsum("r,rij->ij", self.log_relations.exp(), self.relations) * torch.outer(amplitude, amplitude)
        pairs = blocks[self.block][:, self.block] * self.profiles()[self.operator][:, self.operator]
        return pairs + (self.known * self.log_known.exp()) @ self.known.T

    def covariance(self, left: _Samples, right: _Samples) -> torch.Tensor:
        """Return the covariance of what networks cost, `(A, B)`."""
        total = left.pairs @ self.effects() @ right.pairs.T + _LEVEL_VARIANCE
        if self.radius == 0:
            return total
        similar = self.similar()
        close = [similar[a][:, b] for a, b in zip(left.operators.T, right.operators.T, strict=True)]
        both = sum((a * b for a, b in zip(close, close[1:], strict=False)), torch.zeros_like(total))
        return total + self.log_neighbours.exp() / len(close) * both

    def similar(self) -> torch.Tensor:
        """Return the covariance `(O, O)` of operators without what is common to all, of mean variance 1."""
        profiles = self.profiles()
        centred = profiles - profiles.mean(0) - profiles.mean(1, keepdim=True) + profiles.mean()
        return centred / centred.diagonal().mean()

    def terms(self, graph: SpaceGraph, samples: _Samples, weights: torch.Tensor) -> WindowTerms:
        """Return the posterior mean for weights `(A,)` of the samples, as window terms."""
        effects = self.effects() @ (samples.pairs.T @ weights) / len(self.counts) ** 0.5
        entries = np.split(effects.numpy(), np.cumsum(graph.num_choices)[:-1])
        main = WindowTerms(radius=0, terms=tuple(entries), offset=float(_LEVEL_VARIANCE * weights.sum()))
        if self.radius == 0:
            return main
        similar, scale = self.similar(), self.log_neighbours.exp() / len(self.counts)
        terms = []
        for i, count in enumerate(self.counts):
            if i + 1 == len(self.counts):
                terms.append(np.zeros(self.counts[max(0, i - 1) :]))
                continue
            left = similar[:count, samples.operators[:, i]] * weights * scale
            pair = (left @ similar[: self.counts[i + 1], samples.operators[:, i + 1]].T).numpy()
            terms.append(np.broadcast_to(pair, (self.counts[i - 1], *pair.shape)) if i else pair)
        return add((1.0, main), (1.0, WindowTerms(radius=1, terms=tuple(terms))))


def _known(graph: SpaceGraph) -> torch.Tensor:
    """Return what is known of each pair `(P, F)`: MACs, parameters, and whether it does nothing; mean square 1."""
    columns = [np.concatenate(graph.costs[name].terms.terms) for name in KNOWN_COSTS if name in graph.costs]
    columns.append(np.concatenate([np.array(flags, dtype=float) for flags in graph.no_ops]))
    scaled = [column / np.sqrt(np.mean(column**2)) for column in columns if column.any()]
    return torch.from_numpy(np.stack(scaled, axis=1) if scaled else np.zeros((sum(graph.num_choices), 0)))


def _climb(prior: _Prior, samples: _Samples, goal: torch.Tensor) -> None:
    """Set the parameters to those of largest evidence, in rounds between which measurements are reweighted."""
    noise = torch.ones(len(goal), dtype=torch.float64)
    for steps in _STEPS:
        optimizer = torch.optim.LBFGS(
            prior.parameters(), max_iter=steps, history_size=20, line_search_fn="strong_wolfe"
        )
        optimizer.step(_loss(prior, samples, goal, noise, optimizer))  # type: ignore[no-untyped-call]
        with torch.no_grad():
            noise = _reweighted(prior.covariance(samples, samples), goal, prior.noise, noise, rounds=1)


def _loss(
    prior: _Prior, samples: _Samples, goal: torch.Tensor, noise: torch.Tensor, optimizer: torch.optim.Optimizer
) -> Callable[[], torch.Tensor]:
    """Return the function that computes minus the log evidence, up to a constant, and its gradient."""

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        covariance = prior.covariance(samples, samples) + torch.diag(prior.noise * noise)
        # A step of the line search can make the noise vanish beside the rest, beyond what rounding leaves definite.
        rounding = _ROUNDING * covariance.diagonal().mean().detach() * torch.eye(len(goal), dtype=torch.float64)
        factor = torch.linalg.cholesky(covariance + rounding)
        half = torch.linalg.solve_triangular(factor, goal[:, None], upper=False)
        value: torch.Tensor = 0.5 * half.square().sum() + factor.diagonal().log().sum() + prior.penalty()
        torch.autograd.backward(value)
        return value

    return loss


def _reweighted(
    covariance: torch.Tensor, goal: torch.Tensor, variance: torch.Tensor, noise: torch.Tensor, *, rounds: int = _ROUNDS
) -> torch.Tensor:
    """Return the variance of each measurement `(A,)` in units of `variance`, as Student's t has it.

    With residual `r`, its posterior variance `v` and `f` degrees of freedom: `(f + (r^2 + v) / variance) / (f + 1)`.
    """
    for _ in range(rounds):
        gain = torch.linalg.solve(covariance + torch.diag(variance * noise), covariance)
        residual = goal - gain.T @ goal
        left = (covariance - covariance @ gain).diagonal().clamp(min=0.0)
        noise = (_FREEDOM + (residual.square() + left) / variance) / (_FREEDOM + 1.0)
    return noise
