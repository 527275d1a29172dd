"""Search spaces: the contract, the graph that predictors see, and the built-in spaces."""

from archatlas.spaces.base import Block, ChainNetwork, ChainSpace, Operator
from archatlas.spaces.graph import SpaceGraph, chain_graph, check_operators

__all__ = ["Block", "ChainNetwork", "ChainSpace", "Operator", "SpaceGraph", "chain_graph", "check_operators"]
