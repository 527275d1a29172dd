"""Settings of the predictor of a run, and what builds it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from archatlas.predictors.base import Predictor
from archatlas.predictors.baselines import Regressor, Ridge
from archatlas.predictors.ensemble import TrainingConfig
from archatlas.predictors.global_gcn import GlobalGCN, GlobalGCNConfig
from archatlas.predictors.global_gp import GlobalGP
from archatlas.predictors.order import OrderConfig
from archatlas.predictors.window_gcn import WindowGCN, WindowGCNConfig
from archatlas.predictors.window_gp import WindowGP

PredictorName = Literal[
    "window_gcn", "global_gcn", "window_gp", "global_gp", "ridge", "random_forest", "gradient_boosting", "gp", "mlp"
]


class PredictorConfig(BaseModel):
    """Which predictor is fitted, and how. `layers`, `hidden`, `strength` and `training` concern the networks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: PredictorName = Field(
        default="window_gcn", description="The predictor; window_gcn, window_gp and ridge are tabulated."
    )
    layers: int = Field(
        default=2, ge=0, le=4, description="K: a window reaches K blocks to either side; 0 = main effects."
    )
    hidden: int = Field(default=96, ge=2, description="Features of a node.")
    strength: float = Field(default=1.0, ge=0, le=1, description="Strength of the interactions in the flexible score.")
    training: TrainingConfig = Field(default=TrainingConfig(), description="How the networks are trained.")
    order: OrderConfig = Field(default=OrderConfig(), description="Screen, main effects and capacity prior.")


def build_predictor(config: PredictorConfig) -> Predictor:
    """Return the predictor that a configuration names."""
    if config.name == "window_gcn":
        return WindowGCN(
            config=WindowGCNConfig(
                layers=config.layers,
                hidden=config.hidden,
                strength=config.strength,
                training=config.training,
                order=config.order,
            )
        )
    if config.name == "global_gcn":
        return GlobalGCN(
            config=GlobalGCNConfig(
                layers=config.layers, hidden=config.hidden, training=config.training, order=config.order
            )
        )
    if config.name == "window_gp":
        return WindowGP(radius=config.layers, strength=config.strength, order=config.order)
    if config.name == "global_gp":
        return GlobalGP(order=config.order)
    if config.name == "ridge":
        return Ridge(order=config.order)
    return Regressor(kind=config.name, order=config.order)
