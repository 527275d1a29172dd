"""Writing a trained network: ONNX, checked against torch on real images, and weights with their card.

Nothing is written before the ONNX model has given the numbers of torch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import save
from torch import nn

from archatlas.data import ImageData, Split
from archatlas.errors import ConfigError, ExportError
from archatlas.exporting.card import NetworkCard
from archatlas.exporting.quantisation import quantise
from archatlas.files import write_bytes, write_text
from archatlas.onnx_models import open_session, run_session, to_onnx, trace

BATCHES = (1, 64)
"""Batch sizes at which ONNX Runtime is compared with torch."""

TOLERANCE = 1e-4
"""Largest difference of a logit, as share of the largest logit where that is above 1."""

_WARM_UP, _TIMED, _ACCURACY_BATCH = 5, 50, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """One ONNX file and what was measured of it.

    Args:
        path: The file.
        size_bytes: Its length.
        latency_ms: Median time of one image under ONNX Runtime, with `threads`.
        latency_range_ms: Its quartiles.
        threads: CPU threads.
        accuracy: Share of all validation images classified correctly, 0 to 1; None if not measured.
    """

    path: Path
    size_bytes: int
    latency_ms: float
    latency_range_ms: tuple[float, float]
    threads: int
    accuracy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was written.

    Args:
        onnx: The network in 32 bits.
        differences: Largest difference of a logit between ONNX Runtime and torch, by batch size.
        card: The `.json` file, with the `.safetensors` file beside it.
        int8: The quantised network, if asked for.
    """

    onnx: OnnxFile
    differences: dict[int, float]
    card: Path
    int8: OnnxFile | None = None


def export_network(
    network: nn.Module,
    card: NetworkCard,
    data: ImageData,
    path: Path,
    *,
    calibration_images: int = 0,
) -> Export:
    """Write `path`, and beside it `.safetensors`, `.json` and, with calibration images, `.int8.onnx`.

    Args:
        network: In evaluation mode, on the CPU.
        card: Its description.
        data: Validation images to check with, training images to calibrate with.
        path: Ends in `.onnx`; existing files of these names are replaced.
        calibration_images: Training images that set the ranges of the int8 network; 0: no int8 network.

    Raises:
        ExportError: If the network has no ONNX form, or ONNX Runtime gives other numbers than torch.
        ConfigError: If `path` does not end in `.onnx`.
    """
    if path.suffix != ".onnx":
        raise ConfigError(f"Expected a file name that ends in .onnx, got {path}.")
    example = _images(data.validation, 2)
    model = to_onnx(trace(network, example))
    onnx.helper.set_model_props(model, card.metadata())
    content = model.SerializeToString()
    differences = compare(network, content, data.validation)
    quantised = quantise(model, data.train, calibration_images) if calibration_images else None
    write_bytes(path, content)
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    write_bytes(path.with_suffix(".safetensors"), save(weights))
    write_text(path.with_suffix(".json"), card.model_dump_json(indent=2) + "\n")
    measured_on = data.validation if quantised is not None else None
    result = _measured(path, example[:1], measured_on)
    int8 = None
    if quantised is not None:
        onnx.helper.set_model_props(quantised, card.metadata())
        write_bytes(path.with_suffix(".int8.onnx"), quantised.SerializeToString())
        int8 = _measured(path.with_suffix(".int8.onnx"), example[:1], measured_on)
    return Export(onnx=result, differences=differences, card=path.with_suffix(".json"), int8=int8)


@torch.inference_mode()
def compare(network: nn.Module, model: bytes, split: Split) -> dict[int, float]:
    """Return the largest difference of a logit between ONNX Runtime and torch, by batch size, on images of a split.

    Raises:
        ExportError: If one is above `TOLERANCE`.
    """
    session = open_session(model, threads=torch.get_num_threads())
    differences = {}
    for batch in BATCHES:
        images = _images(split, batch)
        expected = network(images).numpy()
        differences[batch] = float(np.abs(run_session(session, images) - expected).max())
        allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
        if not differences[batch] <= allowed:  # a NaN is no agreement either
            raise ExportError(
                f"ONNX Runtime and torch differ by {differences[batch]:.3g} in a logit of a batch of {batch} images, "
                f"more than {allowed:.3g}; nothing was written. Look for the operator with: archatlas space check"
            )
    return differences


def accuracy(session: onnxruntime.InferenceSession, split: Split) -> float:
    """Return the share of a split's images that a session classifies correctly."""
    correct = 0
    for images, labels in split.ordered(batch_size=_ACCURACY_BATCH, device="cpu"):
        correct += int((run_session(session, images).argmax(axis=1) == labels.numpy()).sum())
    return correct / len(split)


def _images(split: Split, count: int) -> torch.Tensor:
    """Return the first `count` images of a split, in turn again where it has fewer."""
    images, _ = next(split.ordered(batch_size=count, stop=count, device="cpu"))
    return images.repeat(-(-count // len(images)), 1, 1, 1)[:count]


def _measured(path: Path, image: torch.Tensor, split: Split | None) -> OnnxFile:
    threads = torch.get_num_threads()
    session = open_session(path, threads=threads)
    times = []
    for _ in range(_WARM_UP + _TIMED):
        started = time.perf_counter()
        run_session(session, image)
        times.append(1e3 * (time.perf_counter() - started))
    lower, median, upper = np.quantile(times[_WARM_UP:], (0.25, 0.5, 0.75)).tolist()
    return OnnxFile(
        path=path,
        size_bytes=path.stat().st_size,
        latency_ms=median,
        latency_range_ms=(lower, upper),
        threads=threads,
        accuracy=None if split is None else accuracy(session, split),
    )
