"""The settings of a run: composed of the stages' own, read from YAML, written with comments.

Without a file, the settings are those of the embedded digits: minutes on two cores.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archatlas.costs.budgets import LatencyConfig
from archatlas.data import DataConfig
from archatlas.errors import ConfigError
from archatlas.evaluation import EvaluationConfig
from archatlas.predictors import PredictorConfig
from archatlas.records import Budget
from archatlas.retraining import RetrainingConfig
from archatlas.search import SearchConfig
from archatlas.search.acquisition import CalibrationConfig
from archatlas.spaces.user import BUILT_IN, parse_validation_error
from archatlas.supernet import SuperNetConfig
from archatlas.workers import RayConfig, WorkersName


class HardwareConfig(BaseModel):
    """Where and how networks run; handed to Lightning Fabric."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="kind of device")
    devices: int = Field(
        default=1,
        ge=1,
        description="processes per machine, one device each; several train together (DDP), the first one searches",
    )
    num_nodes: int = Field(default=1, ge=1, description="machines")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        default="32-true", description="of training; evaluation has its own"
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads, null = torch's choice")


class Config(BaseModel):
    """Everything that a run depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: str = Field(default="digits", description=f"{', '.join(BUILT_IN)}, or your own .py or .yaml file")
    data: DataConfig = Field(default=DataConfig(), description="images")
    seed: int = Field(default=0, ge=0, description="of everything that is random, except how the data is split")
    budgets: dict[str, float] = Field(default={}, description="largest cost of the answer, such as macs: 300e6")
    latency: LatencyConfig = Field(default=LatencyConfig(), description="milliseconds on a device, a cost of its own")
    hardware: HardwareConfig = Field(default=HardwareConfig(), description="devices, processes, precision")
    workers: WorkersName = Field(
        default="local",
        description="local = this process scores sub-networks and does the trainings of a calibration, ray = several "
        "do (extra archatlas[ray])",
    )
    ray: RayConfig = Field(default=RayConfig(), description="with workers: ray")
    supernet: SuperNetConfig = Field(
        default=SuperNetConfig(epochs=40, batch_size=64, warmup_epochs=2.0, checkpoint_seconds=10.0),
        description="training of the super-network",
    )
    evaluation: EvaluationConfig = Field(default=EvaluationConfig(), description="scoring of sub-networks")
    predictor: PredictorConfig = Field(default=PredictorConfig(), description="the fit")
    search: SearchConfig = Field(default=SearchConfig(), description="samples, mode, short-list")
    retraining: RetrainingConfig = Field(
        default=RetrainingConfig(epochs=30, batch_size=64, warmup_epochs=2.0, checkpoint_seconds=10.0),
        description="training of the chosen network",
    )
    calibration: CalibrationConfig = Field(
        default=CalibrationConfig(), description="stand-alone trainings that correct the fit (archatlas calibrate)"
    )

    @property
    def limits(self) -> tuple[Budget, ...]:
        """The budgets as records."""
        return tuple(Budget(cost=cost, upper=upper) for cost, upper in self.budgets.items())


_IMAGE_TRAINING: Mapping[str, Any] = {"epochs": 60, "batch_size": 128, "learning_rate": 0.1, "weight_decay": 1e-4}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "digits": {},
    "nas-bench-macro": {"supernet": _IMAGE_TRAINING, "retraining": _IMAGE_TRAINING},
    "mobile-cifar": {"supernet": _IMAGE_TRAINING, "retraining": _IMAGE_TRAINING},
    "fairnas": {
        "supernet": {**_IMAGE_TRAINING, "epochs": 150, "batch_size": 256, "sampler": "fair"},
        "retraining": {**_IMAGE_TRAINING, "epochs": 240, "batch_size": 256},
        "search": {"mode": "segments"},
    },
}
"""Where a space wants other settings than digits; a user's own space starts from those of `mobile-cifar`."""


def load_config(path: Path | None) -> Config:
    """Read a YAML file of settings; None gives the settings of digits.

    Raises:
        ConfigError: Names every key that is unknown or has a value that cannot be used.
    """
    if path is None:
        return Config()
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"The configuration {path} does not exist; write one with: archatlas init") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {error}") from None
    if not isinstance(given, dict | None):
        raise ConfigError(f"{path} must hold settings as `key: value`, got {type(given).__name__}.")
    return parse_config(given or {}, source=str(path))


def parse_config(given: Mapping[str, Any], *, source: str) -> Config:
    """Check settings and fill in what is missing: the space's preset, then the defaults.

    Raises:
        ConfigError: As `load_config`.
    """
    space = given.get("space", "digits")
    preset = PRESETS.get(space if isinstance(space, str) else "", PRESETS["mobile-cifar"])
    try:
        return Config.model_validate(_merged(_merged(_defaults(), preset), given))
    except ValidationError as error:
        hints = [
            f"  (did you mean {match[0]}?)"
            for finding in error.errors()
            if finding["type"] == "extra_forbidden"
            and (match := difflib.get_close_matches(str(finding["loc"][-1]), _siblings(finding["loc"]), n=1))
        ]
        text = "\n".join([parse_validation_error(error), *hints])
        raise ConfigError(f"{source} holds settings that cannot be used:\n{text}") from None


def _defaults() -> dict[str, Any]:
    # A recipe's values come from its preset, so defaults must not stand in for them.
    return Config().model_dump(exclude_unset=False, exclude={"budgets": True, "retraining": {"recipe"}})


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with those of `over` put in."""
    result = dict(base)
    for key, value in over.items():
        inner = result.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(inner, value) if both else value  # type: ignore[arg-type]
    return result


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    """Return the legal keys beside an illegal one."""
    model: Any = Config
    for key in location[:-1]:
        annotation = model.model_fields[str(key)].annotation
        model = next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)
    return list(model.model_fields)


def dump_config(config: Config) -> str:
    """Write settings as commented YAML that `load_config` reads back to the same."""
    return "# Settings of an archatlas run. Every key is optional.\n" + "\n".join(_lines(config, "")) + "\n"


def _lines(model: BaseModel, indent: str) -> Iterator[str]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        comment = f"  # {field.description}" if field.description else ""
        if isinstance(value, BaseModel):
            if not indent:
                yield ""
            yield f"{indent}{name}:{comment}"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {_scalar(value)}{comment}"


def _scalar(value: Any) -> str:
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, tuple):
        value = list(value)
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")
