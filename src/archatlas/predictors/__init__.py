"""Predictors: fitted to one-shot scores, they answer for every architecture of a space."""

from archatlas.predictors.base import FittedPredictor, Predictor, WindowedPredictor
from archatlas.predictors.config import PredictorConfig, build_predictor
from archatlas.predictors.io import load

__all__ = ["FittedPredictor", "Predictor", "PredictorConfig", "WindowedPredictor", "build_predictor", "load"]
