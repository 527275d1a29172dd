"""Settings of the search."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SamplingConfig(BaseModel):
    """How many sub-networks are measured before a fit is trusted, and which."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    design: Literal["balanced", "uniform", "shared"] = Field(
        default="balanced",
        description="balanced = every operator and neighbouring pair equally often; uniform = the paper's",
    )
    round_size: int = Field(default=60, ge=4, description="sub-networks measured between two fits")
    floor: int = Field(default=120, ge=4, description="measured at least")
    ceiling: int = Field(
        default=2000, ge=4, description="measured at most; equal to floor = one fixed number of samples"
    )
    order_tau: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="stop when two fits in a row order a probe set with at least this Kendall tau,",
    )
    shortlist_overlap: float = Field(
        default=0.6, ge=0, le=1, description="share at least this part of the probe set's best 5 %,"
    )
    heldout_change: float = Field(
        default=0.05,
        ge=0,
        description="and the tau on each fresh round, before it is fitted, changes by no more than this",
    )

    @model_validator(mode="after")
    def _ordered(self) -> SamplingConfig:
        if self.ceiling < self.floor:
            raise ValueError(f"ceiling ({self.ceiling}) must be at least floor ({self.floor})")
        return self


class SearchConfig(BaseModel):
    """How the space is searched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["whole", "segments", "evolution", "random"] = Field(
        default="whole",
        description="whole = fit the entire space once and ask the atlas; segments = the paper's, a segment at a time; "
        "evolution, random = baselines that measure the super-network without a fit",
    )
    segments: tuple[int, ...] | None = Field(
        default=None, description="lengths of the segments, null = the space's own", min_length=1
    )
    keep: int = Field(default=6, ge=1, description="super-cells kept after each segment")
    completions: int = Field(
        default=2, ge=1, description="completions of the blocks after a segment; scores are their mean"
    )
    completion: Literal["random", "fixed", "largest"] = Field(
        default="random", description="random operators, the first operator everywhere, or the last everywhere"
    )
    shortlist: int = Field(default=64, ge=1, description="predicted best that the super-network measures once more")
    remeasure: bool = Field(
        default=False,
        description="order the short-list by the mean of predicted and measured rank (the paper leaves it open); "
        "false = by prediction, which picked better networks on ground truth",
    )
    evaluations: int = Field(
        default=1000, ge=4, description="sub-networks that the baselines evolution and random measure"
    )
    sampling: SamplingConfig = SamplingConfig()
