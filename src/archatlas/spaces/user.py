"""Spaces by name, and a user's own space from a Python file or a YAML list of blocks.

A Python file defines `space`, a `ChainSpace` or a function that returns one. A YAML file names operators, stem and
head as `module:function`; modules are looked up beside the file first:

```yaml
name: my-space
resolution: 32
stem: {use: "archatlas.spaces.operators:conv_stem", channels: 16}
head: {use: "archatlas.spaces.operators:pooled_head", in_channels: 32, features: 128}
blocks:
  - in_channels: 16
    out_channels: 32
    stride: 2
    operators: ["my_operators:pool", {use: "my_operators:ghost", ratio: 2}]
segments: [1]
```

A stem is called with the image channels, a head with the number of classes, an operator with
`(in_channels, out_channels, stride)`; further settings are passed by name.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archatlas.errors import ConfigError
from archatlas.spaces.base import Block, ChainSpace, Operator
from archatlas.spaces.digits import digits
from archatlas.spaces.mobile import fairnas, mobile_cifar
from archatlas.spaces.nas_bench_macro import nas_bench_macro
from archatlas.usercode import FUNCTION_PATTERN

BUILT_IN: Mapping[str, Callable[[], ChainSpace]] = {
    "digits": digits,
    "nas-bench-macro": nas_bench_macro,
    "mobile-cifar": mobile_cifar,
    "fairnas": fairnas,
}


class _Named(BaseModel):
    """A function and its settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    use: str = Field(pattern=FUNCTION_PATTERN)
    name: str | None = None


class _BlockFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    in_channels: int = Field(ge=1)
    out_channels: int = Field(ge=1)
    stride: int = Field(ge=1)
    operators: list[str | _Named] = Field(min_length=1, max_length=255)


class _SpaceFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    resolution: int = Field(ge=1)
    in_channels: int = Field(default=3, ge=1)
    num_classes: int = Field(default=10, ge=2)
    stem: str | _Named
    head: str | _Named
    blocks: list[_BlockFile] = Field(min_length=1)
    segments: list[int] | None = None


def load_space(name: str) -> ChainSpace:
    """Return a built-in space, or the space of a `.py`, `.yaml` or `.yml` file.

    Raises:
        ConfigError: If there is none of this name, or the file does not describe one.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    path = Path(name).expanduser()
    if path.suffix not in {".py", ".yaml", ".yml"}:
        raise ConfigError(f"Unknown space {name!r}; expected one of {', '.join(BUILT_IN)}, or a .py or .yaml file.")
    if not path.is_file():
        raise ConfigError(f"The space file {path} does not exist.")
    with _beside(path):
        space = _from_python(path) if path.suffix == ".py" else _from_yaml(path)
    return dataclasses.replace(space, source=_source_digest(path, space))


def parse_validation_error(error: ValidationError) -> str:
    """Return pydantic's findings, one `key: what is wrong (value)` per line."""
    lines = []
    for finding in error.errors():
        key = ".".join(str(part) for part in finding["loc"]) or "(file)"
        value = "" if finding["type"] in {"extra_forbidden", "missing"} else f", got {finding['input']!r}"
        text = "is no setting" if finding["type"] == "extra_forbidden" else finding["msg"]
        lines.append(f"{key}: {text}{value}")
    return "\n".join(f"  {line}" for line in lines)


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Let modules beside a file be imported."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _source_digest(path: Path, space: ChainSpace) -> str:
    """Return twelve hexadecimal digits of the space file and of the modules beside it that its builders come from.

    Comments and formatting do not count: a run whose space has changed is made anew.
    """
    builders = [space.stem, space.head, *(operator.build for block in space.blocks for operator in block.operators)]
    folder, files = path.resolve().parent, {path.resolve()}
    for builder in builders:
        while isinstance(builder, partial):
            builder = builder.func
        module = inspect.getmodule(builder)
        file = Path(inspect.getfile(module)).resolve() if module is not None else folder
        if file.suffix == ".py" and file.is_relative_to(folder):
            files.add(file)
    hasher = hashlib.sha256()
    for file in sorted(files):
        text = file.read_text(encoding="utf-8")
        hasher.update(ast.unparse(ast.parse(text)).encode() if file.suffix == ".py" else text.encode())
    return hasher.hexdigest()[:12]


def _from_python(path: Path) -> ChainSpace:
    spec = importlib.util.spec_from_file_location(f"archatlas_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses, pickle and `inspect` look a class's module up there
    try:
        spec.loader.exec_module(module)
        space = module.space() if callable(module.space) else module.space
    except Exception as error:  # the user's own code may raise anything
        raise ConfigError(
            f"{path} must define `space`, a ChainSpace or a function that returns one; running it gave "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(space, ChainSpace):
        raise ConfigError(f"`space` in {path} must be a ChainSpace, not {type(space).__name__}.")
    return space


def _from_yaml(path: Path) -> ChainSpace:
    try:
        described = _SpaceFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no YAML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{path} does not describe a space:\n{parse_validation_error(error)}") from None
    blocks = tuple(
        Block(
            in_channels=block.in_channels,
            out_channels=block.out_channels,
            stride=block.stride,
            operators=tuple(_operator(path, entry) for entry in block.operators),
        )
        for block in described.blocks
    )
    try:
        return ChainSpace(
            name=described.name,
            resolution=described.resolution,
            in_channels=described.in_channels,
            num_classes=described.num_classes,
            stem=_function(path, described.stem)[0],
            head=_function(path, described.head)[0],
            blocks=blocks,
            segments=tuple(described.segments or [len(blocks)]),
        )
    except ValueError as error:
        raise ConfigError(f"{path} does not describe a space: {error}") from None


def _operator(path: Path, entry: str | _Named) -> Operator:
    build, settings = _function(path, entry)
    use = entry if isinstance(entry, str) else entry.use
    name = entry.name if isinstance(entry, _Named) else None
    shown = "_".join([use.partition(":")[2], *(f"{key}{value}" for key, value in settings.items())])
    numbers = {key: float(v) for key, v in settings.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return Operator(name=name or shown, build=build, attributes=tuple(sorted(numbers.items())))


def _function(path: Path, entry: str | _Named) -> tuple[Callable[..., Any], dict[str, Any]]:
    use = entry if isinstance(entry, str) else entry.use
    settings = {} if isinstance(entry, str) else dict(entry.model_extra or {})
    module_name, _, function_name = use.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # importing a user's module may raise anything
        raise ConfigError(
            f"{path} names {use!r}, expected an importable module:function; {type(error).__name__}: {error}"
        ) from error
    if not callable(function):
        raise ConfigError(f"{path} names {use!r}, which is no function.")
    return partial(function, **settings) if settings else function, settings
