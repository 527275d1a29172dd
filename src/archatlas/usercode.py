"""A user's own functions, named as `module:function` and imported only because they are named."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from archatlas.errors import ConfigError

FUNCTION_PATTERN = r"^[\w.]+:\w+$"


def import_function(named: str, folders: Sequence[Path]) -> Callable[..., Any]:
    """Import a function; modules are looked up in the folders first.

    The folders stay on `sys.path`: worker processes and imports inside of functions need them later.

    Args:
        named: `module:function`.
        folders: In order of preference.

    Raises:
        ConfigError: If importing fails in any way, or the name is no function.
    """
    for folder in reversed([str(folder.resolve()) for folder in folders]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    module, _, name = named.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # a user's module may raise anything
        looked = ", ".join(str(folder) for folder in folders)
        raise ConfigError(
            f"{named!r} cannot be imported (looked in {looked}, then among installed packages): "
            f"{type(error).__name__}: {error}"
        ) from error
    if not callable(function):
        raise ConfigError(f"{named!r} names a {type(function).__name__}, expected a function.")
    called: Callable[..., Any] = function
    return called
