"""The chosen architecture, trained as a stand-alone network and tested once."""

from archatlas.retraining.config import Distillation, Recipe, RetrainingConfig
from archatlas.retraining.train import RetrainResult, load_network, load_result, retrain

__all__ = ["Distillation", "Recipe", "RetrainResult", "RetrainingConfig", "load_network", "load_result", "retrain"]
