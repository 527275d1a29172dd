"""Scoring many sub-networks: a walk over the trie of their architectures."""

from archatlas.evaluation.evaluator import EvaluationConfig, Evaluator, scope_of
from archatlas.evaluation.trie import block_passes, split_jobs

__all__ = ["EvaluationConfig", "Evaluator", "block_passes", "scope_of", "split_jobs"]
