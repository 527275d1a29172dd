"""Timing in torch itself, eager: for devices without an ONNX Runtime, and to check the other backend."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from archatlas.costs.hardware import cpu_name
from archatlas.costs.timing import Call, Clock, Load, clock_of
from archatlas.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchBackend:
    """Eager torch (a `Backend`). Sets the number of threads of the process.

    Args:
        kind: Of the device: `cpu` or `cuda`.
        threads: CPU threads of one pass.

    Raises:
        ConfigError: If torch cannot use the device.
    """

    kind: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.kind not in {"cpu", "cuda"} or (self.kind == "cuda" and not torch.cuda.is_available()):
            known = "cpu and cuda" if torch.cuda.is_available() else "cpu alone"
            raise ConfigError(f"Expected a device that torch can use, got {self.kind!r}; here that is {known}.")

    @property
    def device(self) -> str:
        """Name of the hardware."""
        return str(torch.cuda.get_device_name()) if self.kind == "cuda" else cpu_name()

    @property
    def runtime(self) -> str:
        """Name and version of torch."""
        return f"torch {torch.__version__} {self.kind}"

    @property
    def clock(self) -> Clock:
        """What passes are timed with."""
        return clock_of(cpu=self.kind == "cpu", threads=self.threads)

    def prepare(self, module: nn.Module, shape: tuple[int, ...]) -> Load:
        """Return a module whose passes wait, on a GPU, until the device is done."""
        module.eval()

        def load() -> Call:
            torch.set_num_threads(self.threads)
            network = copy.deepcopy(module).to(self.kind).to(memory_format=torch.channels_last)
            image = torch.randn(shape, device=self.kind).contiguous(memory_format=torch.channels_last)

            @torch.inference_mode()
            def call() -> None:
                network(image)
                if self.kind == "cuda":
                    torch.cuda.synchronize()

            return call

        return load
