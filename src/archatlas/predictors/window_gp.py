"""`WindowGP`: the exact posterior mean of a Gaussian process over windows, tabulated like `WindowGCN`.

Main effects with shared strength plus, for each window of the chain, all orders of interaction at once (see
`kernels`). The posterior mean of such a process is itself a sum over windows.
"""

from __future__ import annotations

from dataclasses import dataclass

from archatlas.predictors.effects import soften
from archatlas.predictors.gp_evidence import condition
from archatlas.predictors.kernels import main_covariance, process_terms, similarities, window_covariance
from archatlas.predictors.links import identity_link
from archatlas.predictors.live import strip_dead
from archatlas.predictors.order import OrderConfig
from archatlas.predictors.tabulate import check_size
from archatlas.predictors.targets import check_samples, normal_scores
from archatlas.predictors.windows import FittedWindows, finish
from archatlas.records import Architectures, Floats, WindowTerms
from archatlas.spaces import SpaceGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowGP:
    """A Gaussian process over windows; see the module.

    Args:
        radius: How far a window reaches to either side.
        strength: Strength of the interactions in the flexible score, 0 to 1.
        order: Of the two-stage order.
    """

    radius: int = 2
    strength: float = 1.0
    order: OrderConfig = OrderConfig()

    @property
    def name(self) -> str:
        """Shown in reports."""
        return "window_gp"

    def fit(self, graph: SpaceGraph, architectures: Architectures, scores: Floats, *, seed: int) -> FittedWindows:
        """Fit to scores `(A,)` (higher better) of architectures `(A, L)`.

        Raises:
            DataError: If the samples cannot be fitted.
            ConfigError: If `radius` makes windows that are too many to tabulate.
        """
        check_samples(graph.num_choices, architectures, scores)
        check_size(graph.num_choices, self.radius)
        alive, targets = strip_dead(graph, architectures), normal_scores(scores)
        member = soften(posterior_terms(graph, alive, targets, self.radius), self.strength)
        return finish(self.name, graph, (member,), identity_link(), (alive, targets), self.order, seed=seed)


def posterior_terms(graph: SpaceGraph, samples: Architectures, targets: Floats, radius: int) -> WindowTerms:
    """Return the posterior mean given targets `(N,)` of samples `(N, L)`, as window terms."""
    main = main_covariance(graph, samples, samples)
    process = condition(main, window_covariance(similarities(graph), samples, samples, radius), targets)
    terms = process_terms(
        graph, samples, process.weights, main=process.main, interaction=process.interaction, radius=radius
    )
    return WindowTerms(radius=radius, terms=terms.terms, offset=process.offset)
