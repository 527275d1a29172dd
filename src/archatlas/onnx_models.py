"""Modules as ONNX models, and ONNX Runtime sessions that run them.

Legend: `B` images of a batch, `C` channels, `H`, `W` size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

from archatlas.errors import ExportError

INPUT, OUTPUT = "images", "logits"


def trace(module: nn.Module, images: torch.Tensor) -> ExportedProgram:
    """Return what a module computes as a graph, for batches of any size.

    Args:
        module: Of one tensor input, in evaluation mode.
        images: An example `(B, C, H, W)` of at least two images: a single one would be taken for a constant.

    Raises:
        ExportError: If torch cannot follow the module; says why.
    """
    try:
        return torch.export.export(module, (images,), dynamic_shapes=({0: Dim("batch")},), strict=False)
    except Exception as error:  # the module may be anyone's and raise anything
        raise ExportError(f"torch.export cannot follow it: {first_line(error)}") from error


def to_onnx(program: ExportedProgram, *, optimise: bool = True) -> onnx.ModelProto:
    """Return a traced module as an ONNX model with the input `images` and the output `logits`.

    Notes on where in whose source a node came from are left out: they hold paths of this machine.

    Raises:
        ExportError: If an operation has no ONNX counterpart; says which.
    """
    try:
        converted = torch.onnx.export(
            program,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: "batch"},),
            dynamo=True,
            optimize=optimise,
            verbose=False,
        )
    except Exception as error:  # likewise
        raise ExportError(f"it has no ONNX form: {first_line(error)}") from error
    assert converted is not None
    model = converted.model_proto
    for function in (model.graph, *model.functions):
        for part in (*function.node, *function.value_info, function):
            del part.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    return model


CPU = "CPUExecutionProvider"


def open_session(model: bytes | Path, *, threads: int, provider: str = CPU) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session.

    Raises:
        ExportError: If ONNX Runtime cannot load the model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    source = model if isinstance(model, bytes) else str(model)
    try:
        return onnxruntime.InferenceSession(source, options, providers=[provider])
    except Exception as error:  # the runtime's exceptions share no base but this one
        raise ExportError(f"ONNX Runtime cannot load it: {first_line(error)}") from error


def run_session(session: onnxruntime.InferenceSession, images: torch.Tensor) -> npt.NDArray[np.float32]:
    """Return the only output for images `(B, C, H, W)`."""
    name: str = session.get_inputs()[0].name
    (output,) = session.run(None, {name: images.numpy()})
    result: npt.NDArray[np.float32] = output
    return result


def first_line(error: BaseException) -> str:
    """Return the type and the first line of an error, of the cause where torch wrapped it in a report."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines: list[Any] = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
