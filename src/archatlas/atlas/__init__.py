"""The atlas: a fitted order of all architectures, and what can be asked of it."""

from archatlas.atlas.base import Answer, Atlas, Axis, CostSummary, Density, Percentile, Scored, Subspace
from archatlas.atlas.enumerated import EnumeratedAtlas, enumerate_space
from archatlas.atlas.factored import FactoredAtlas, tabulate
from archatlas.atlas.loading import load_atlas, networks_table

__all__ = [
    "Answer",
    "Atlas",
    "Axis",
    "CostSummary",
    "Density",
    "EnumeratedAtlas",
    "FactoredAtlas",
    "Percentile",
    "Scored",
    "Subspace",
    "enumerate_space",
    "load_atlas",
    "networks_table",
    "tabulate",
]
