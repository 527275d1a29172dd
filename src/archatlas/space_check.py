"""Does every operator of every block of a space work: builds, counts, runs, learns, and becomes ONNX?

Legend: `B` images, `C` channels, `H`, `W` size.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from archatlas.costs.macs import count
from archatlas.errors import ExportError
from archatlas.onnx_models import first_line, open_session, run_session, to_onnx, trace
from archatlas.records import Monitor
from archatlas.spaces import Block, ChainSpace
from archatlas.training import seeded

Result = TypeVar("Result")

Shape = tuple[int, ...]
"""`(C, H, W)`, or `(classes,)` after the head."""

_BATCH = 3
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartCheck:
    """What was found of one operator of one block, or of stem or head.

    Args:
        block: `stem`, the number of the block, or `head`.
        operator: Its name; empty for stem and head.
        input: Shape of its input.
        output: Shape of its output; None if it does not run.
        macs: For one image; None if it cannot be counted.
        params: Likewise.
        problem: The step that failed and why, in one line; None if all is well.
        module: In evaluation mode, where it runs.
    """

    block: str
    operator: str
    input: Shape
    output: Shape | None = None
    macs: int | None = None
    params: int | None = None
    problem: str | None = None
    module: nn.Module | None = None


class _Problem(Exception):
    """A step failed; the text names it and says why."""


def check_space(space: ChainSpace, *, export: bool, monitor: Monitor) -> list[PartCheck]:
    """Try every operator of every block, stem and head, at the shape that it has in the space.

    Equal operators at equal shapes are tried once. The steps: `build`; `count` (on the meta device, as costs are);
    `run` (forward, backward, finite numbers, the promised shape, no image changes the answer to another); and `export`
    (torch.export with any batch size, ONNX, ONNX Runtime equal to torch).

    Args:
        space: The space, at the resolution to try.
        export: Whether to try the last step too, about a second per operator.
        monitor: Told of the parts done.

    Returns:
        One record per operator of each block in order, the stem first, the head last.
    """
    tried: dict[tuple[object, ...], PartCheck] = {}
    total = sum(space.num_choices) + 2
    shape: Shape = (space.in_channels, space.resolution, space.resolution)
    found = [_part("stem", "", lambda: space.stem(space.in_channels), shape, None)]
    shape = found[0].output or shape
    for number, block in enumerate(space.blocks):
        promised = (block.out_channels, *(-(-side // block.stride) for side in shape[1:]))
        for choice in range(len(block.operators)):
            found.append(_operator(block, number, choice, shape, promised, tried))
            monitor(len(found), total)
        shape = promised
    found.append(_part("head", "", lambda: space.head(space.num_classes), shape, (space.num_classes,)))
    monitor(total, total)
    return _exported(found) if export else found


def _operator(
    block: Block, number: int, choice: int, shape: Shape, promised: Shape, tried: dict[tuple[object, ...], PartCheck]
) -> PartCheck:
    """Try one operator of one block, unless an equal one was tried at this shape before."""
    name = block.operators[choice].name
    key = (block.operators[choice], block.in_channels, block.out_channels, block.stride, shape)
    if key not in tried:
        tried[key] = _part(str(number), name, lambda: block.build(choice), shape, promised)
    same = sum(operator.name == name for operator in block.operators)
    problem = f"name: {same} operators of this block have this name" if same > 1 else tried[key].problem
    return replace(tried[key], block=str(number), problem=problem)


def _part(block: str, operator: str, build: Callable[[], nn.Module], shape: Shape, expected: Shape | None) -> PartCheck:
    """Build, count and run one part.

    Args:
        block: See `PartCheck`.
        operator: See `PartCheck`.
        build: Makes the module.
        shape: Of the input.
        expected: Of the output; None: any.
    """
    part = PartCheck(block=block, operator=operator, input=shape)
    try:
        with seeded(0):
            module = _step("build", build)
            with torch.device("meta"):
                macs, params, _ = _step("count", lambda: count(build(), (1, *shape)))
            part = replace(part, macs=macs, params=params)
            output = _step("run", lambda: _run(module, shape))
        part = replace(part, output=output, module=module.eval())
        if expected is not None and output != expected:
            raise _Problem(f"run: gives {format_shape(output)}, the block promises {format_shape(expected)}")
    except _Problem as problem:
        return replace(part, problem=str(problem))
    return part


def _step(name: str, action: Callable[[], Result]) -> Result:
    try:
        return action()
    except _Problem as problem:
        raise _Problem(f"{name}: {problem}") from None
    except Exception as error:  # a user's module may raise anything
        raise _Problem(f"{name}: {first_line(error)}") from error


def _run(module: nn.Module, shape: Shape) -> Shape:
    """Run a module forward and backward; returns the shape of its output for one image."""
    images = torch.randn(_BATCH, *shape, requires_grad=True)
    output = module.train()(images.clone())  # a copy: an operator may write into its input
    if not isinstance(output, torch.Tensor) or output.shape[:1] != (_BATCH,):
        raise _Problem(f"expected a tensor of {_BATCH} outputs for {_BATCH} images, got {_described(output)}")
    torch.autograd.backward(output.square().mean())
    gradients = [images.grad, *(p.grad for p in module.parameters() if p.grad is not None)]
    if not all(value is None or bool(value.isfinite().all()) for value in (output, *gradients)):
        raise _Problem("outputs or gradients are not finite")
    with torch.no_grad():
        module.eval()
        together, alone = module(images.clone()), module(images[:1].clone())
    if not torch.allclose(together[:1], alone, atol=_TOLERANCE, rtol=_TOLERANCE):
        raise _Problem("in evaluation mode the answer to an image depends on the other images of the batch")
    return tuple(output.shape[1:])


def _described(value: object) -> str:
    return format_shape(tuple(value.shape)) if isinstance(value, torch.Tensor) else type(value).__name__


def format_shape(shape: Shape) -> str:
    """Write a shape such as `24x16x16`."""
    return "x".join(map(str, shape))


class _Together(nn.Module):
    """Many modules as one, so that a single conversion tries all; its input `(B, N)` is theirs, flat, side by side."""

    def __init__(self, parts: Sequence[PartCheck]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(part.module for part in parts if part.module is not None)
        self.inputs = [part.input for part in parts]

    def forward(self, flat: torch.Tensor) -> torch.Tensor:
        sizes = [int(np.prod(shape)) for shape in self.inputs]
        cut = zip(self.parts, torch.split(flat, sizes, dim=1), self.inputs, strict=True)
        return torch.cat([part(piece.reshape(-1, *shape).clone()).flatten(1) for part, piece, shape in cut], dim=1)


def _exported(found: Sequence[PartCheck]) -> list[PartCheck]:
    """Try the export of every part that runs, equal ones once."""
    modules = {id(part.module): part for part in found if part.module is not None and part.problem is None}
    with _quiet():
        problems = _export_problems(list(modules.values()))
    return [replace(part, problem=part.problem or problems.get(id(part.module))) for part in found]


def _export_problems(parts: Sequence[PartCheck]) -> dict[int, str]:
    """Return what is wrong with some of the parts: tries them together, then halves where that fails."""
    if not parts:
        return {}
    together = _Together(parts).eval()
    flat = torch.randn(_BATCH, sum(int(np.prod(part.input)) for part in parts))
    try:
        model = to_onnx(trace(together, flat), optimise=False)
        answer = run_session(open_session(model.SerializeToString(), threads=torch.get_num_threads()), flat)
    except ExportError as error:
        if len(parts) == 1:
            return {id(parts[0].module): f"export: {error}"}
        half = len(parts) // 2
        return _export_problems(parts[:half]) | _export_problems(parts[half:])
    with torch.no_grad():
        expected = together(flat).numpy()
    ends = np.cumsum([int(np.prod(part.output or ())) for part in parts])[:-1]
    pairs = zip(parts, np.split(answer, ends, axis=1), np.split(expected, ends, axis=1), strict=True)
    return {id(part.module): problem for part, got, want in pairs if (problem := _difference(got, want))}


def _difference(found: np.ndarray, expected: np.ndarray) -> str | None:
    difference, size = float(np.abs(found - expected).max()), max(1.0, float(np.abs(expected).max()))
    if difference <= _TOLERANCE * size:
        return None
    return f"export: ONNX Runtime and torch differ by {difference:.3g} in outputs of up to {size:.3g}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch logs about a module that it cannot trace: the report says it in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
