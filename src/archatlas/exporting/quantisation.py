"""Static int8 quantisation by ONNX Runtime: weights per channel, activations by the range they have on real images."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from archatlas.data import Split
from archatlas.errors import ExportError
from archatlas.onnx_models import INPUT, first_line

_BATCH = 32


class _Images(CalibrationDataReader):  # type: ignore[misc]  # untyped base
    """Feeds the first images of a split, without augmentation."""

    def __init__(self, split: Split, count: int) -> None:
        self._batches = split.ordered(batch_size=_BATCH, stop=count, device="cpu")

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch[0].numpy()}


def quantise(model: onnx.ModelProto, split: Split, calibration_images: int) -> onnx.ModelProto:
    """Return a network with int8 weights and uint8 activations, in the QDQ form that every runtime reads.

    Weights keep 7 of their 8 bits: without VNNI instructions an x86 processor adds pairs of 8-bit products in 16 bits
    and would saturate, so that the same file would answer differently from machine to machine.

    Args:
        model: In 32 bits.
        split: Training images.
        calibration_images: How many of them set the ranges.

    Raises:
        ExportError: If ONNX Runtime cannot quantise it.
    """
    with tempfile.TemporaryDirectory() as directory, _quiet():
        original, prepared, written = (Path(directory) / f"{name}.onnx" for name in ("original", "prepared", "int8"))
        onnx.save(model, str(original))
        try:
            quant_pre_process(str(original), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(written),
                _Images(split, calibration_images),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:  # the quantiser raises whatever it stumbles over
            raise ExportError(f"ONNX Runtime cannot quantise this network: {first_line(error)}") from error
        return onnx.load(str(written))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice, which it logs to the root logger, from the user."""
    before = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(before)
