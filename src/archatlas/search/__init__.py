"""Search: from a super-network that measures to the network that is trained."""

from __future__ import annotations

from collections.abc import Sequence

from archatlas.records import SearchResult
from archatlas.search.baselines import search_evolution, search_random
from archatlas.search.config import SamplingConfig, SearchConfig
from archatlas.search.problem import Problem
from archatlas.search.segments import search_segments
from archatlas.search.whole import search_whole

__all__ = ["Problem", "SamplingConfig", "SearchConfig", "search"]


def search(problem: Problem, config: SearchConfig, *, segments: Sequence[int]) -> SearchResult:
    """Search by the configured mode.

    Args:
        problem: Super-network, predictor, budgets.
        config: The mode and its settings.
        segments: The space's own segments; `config.segments` overrides them.
    """
    if config.mode == "segments":
        return search_segments(problem, config, config.segments or segments)
    return {"whole": search_whole, "evolution": search_evolution, "random": search_random}[config.mode](problem, config)
