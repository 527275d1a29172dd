"""The atlas: a fitted order of all architectures, and what can be asked of it."""

from archatlas.atlas.base import Answer, Atlas, Axis, CostSummary, Density, Percentile, Scored, Subspace
from archatlas.atlas.factored import FactoredAtlas, tabulate
from archatlas.atlas.loading import load_atlas

__all__ = [
    "Answer",
    "Atlas",
    "Axis",
    "CostSummary",
    "Density",
    "FactoredAtlas",
    "Percentile",
    "Scored",
    "Subspace",
    "load_atlas",
    "tabulate",
]
