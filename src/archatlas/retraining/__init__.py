"""The chosen architecture, trained as a stand-alone network and tested once."""

from archatlas.retraining.config import Distillation, Recipe, RetrainingConfig
from archatlas.retraining.label import train_and_score
from archatlas.retraining.train import RetrainResult, load_network, load_result, retrain

__all__ = [
    "Distillation",
    "Recipe",
    "RetrainResult",
    "RetrainingConfig",
    "load_network",
    "load_result",
    "retrain",
    "train_and_score",
]
