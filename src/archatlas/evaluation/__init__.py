"""Scoring many sub-networks: a walk over the trie of their architectures."""

from archatlas.evaluation.evaluator import Evaluator, FanOut, scope_of
from archatlas.evaluation.trie import block_passes, split_jobs
from archatlas.evaluation.walker import EvaluationConfig, Walker

__all__ = ["EvaluationConfig", "Evaluator", "FanOut", "Walker", "block_passes", "scope_of", "split_jobs"]
