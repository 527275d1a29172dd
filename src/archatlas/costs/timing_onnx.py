"""Timing under ONNX Runtime, as networks are deployed: exported, folded and fused."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from torch import nn

from archatlas.costs.hardware import cpu_name
from archatlas.costs.timing import Call, Clock, Load, clock_of
from archatlas.errors import ConfigError
from archatlas.onnx_models import CPU, open_session

PROVIDERS = {"cpu": CPU, "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxBackend:
    """ONNX Runtime (a `Backend`).

    Args:
        provider: `cpu`, `cuda`, or the name of an execution provider.
        threads: CPU threads of one pass.

    Raises:
        ConfigError: If this ONNX Runtime lacks the provider.
    """

    provider: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        available = onnxruntime.get_available_providers()
        if self._provider not in available:
            raise ConfigError(
                f"Expected a device that ONNX Runtime can use, got {self.provider!r}; this one has "
                f"{', '.join(available)}. Install a build with that execution provider, or use --backend torch."
            )

    @property
    def _provider(self) -> str:
        return PROVIDERS.get(self.provider, self.provider)

    @property
    def device(self) -> str:
        """Name of the hardware: of the processor, or of the first GPU."""
        if self._provider == PROVIDERS["cuda"] and torch.cuda.is_available():
            return str(torch.cuda.get_device_name())
        return cpu_name()

    @property
    def runtime(self) -> str:
        """Name and version of ONNX Runtime with its provider."""
        return f"onnxruntime {onnxruntime.__version__} {self._provider}"

    @property
    def clock(self) -> Clock:
        """What passes are timed with."""
        return clock_of(cpu=self._provider == CPU, threads=self.threads)

    def prepare(self, module: nn.Module, shape: tuple[int, ...]) -> Load:
        """Export a module; input and output of its passes stay where the host has them."""
        model = export_onnx(module, shape)
        image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

        def load() -> Call:
            session = open_session(model, threads=self.threads, provider=self._provider)
            feed, run = {session.get_inputs()[0].name: image}, session.run
            return lambda: run(None, feed)

        return load


def export_onnx(module: nn.Module, shape: tuple[int, ...]) -> bytes:
    """Return a module in evaluation mode as ONNX for inputs of exactly this shape.

    The tracing exporter: the operators of a space are feed-forward, and it is 40 to 100 times quicker than the one
    that captures the program, which counts for hundreds of small modules.
    """
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one
        torch.onnx.export(module.eval(), (torch.zeros(shape),), stream, dynamo=False)  # type: ignore[arg-type]
    return stream.getvalue()
