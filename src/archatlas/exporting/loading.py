"""An exported network as a plain module again.

A card names a built-in space, or the file name of the user's own. Building the module runs the operators of that
space, so for a user's space the file must be named by whoever loads it: a downloaded card never decides what code runs.
The stored answer to one image then tells whether the code still builds the same network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file

from archatlas.errors import ArtifactMismatchError, ConfigError
from archatlas.exporting.card import NetworkCard, probe
from archatlas.files import read_json
from archatlas.records import parse_architecture
from archatlas.spaces import ChainNetwork, ChainSpace
from archatlas.spaces.user import BUILT_IN, load_space

_TOLERANCE = 1e-3  # between processors, relative to the largest logit


def load_network(path: Path, space: str | None = None) -> ChainNetwork:
    """Rebuild an exported network, in evaluation mode, on the CPU.

    Args:
        path: The `.json` file of an export, with its `.safetensors` beside it, or the directory that holds `net.json`.
        space: The `.py` or `.yaml` file of the space, for networks of a user's own space; its code is run.

    Returns:
        A plain module from normalised images `(B, C, R, R)` to logits `(B, classes)`.

    Raises:
        ArtifactMismatchError: If the files are missing or broken, or the space no longer builds this network.
        ConfigError: If the network belongs to a user's own space and `space` is not given.
    """
    path = card_path(path)
    card = read_card(path)
    network = _space_of(card, path, space).build(parse_architecture(card.architecture)).eval()
    weights = path.with_suffix(".safetensors")
    try:
        network.load_state_dict(load_file(weights))
    except FileNotFoundError:
        raise ArtifactMismatchError(f"Expected the weights {weights} beside {path}; export again.") from None
    except (SafetensorError, OSError) as error:
        raise ArtifactMismatchError(f"The weights {weights} cannot be read ({error}); export again.") from None
    except RuntimeError as error:  # names or shapes that do not fit
        raise ArtifactMismatchError(f"The weights {weights} are not those of {path}: {error}") from None
    _check_answer(network, card, path)
    return network


def card_path(path: Path) -> Path:
    """Return the `.json` file that a path means."""
    path = path / "net.json" if path.is_dir() else path
    if path.suffix != ".json":
        raise ConfigError(f"Expected the .json file of an export or its directory, got {path}.")
    return path


def read_card(path: Path) -> NetworkCard:
    """Return the card of a `.json` file."""
    return NetworkCard.parse(read_json(path), path)


def _space_of(card: NetworkCard, path: Path, named: str | None) -> ChainSpace:
    if named is None and card.space_file is not None:
        raise ConfigError(
            f"{path} is a network of the space {card.space}, which is user code in {card.space_file}. Name that file "
            f"to run it: archatlas.load(..., space={card.space_file!r}), or --space on the command line."
        )
    if named is None and card.space not in BUILT_IN:
        raise ArtifactMismatchError(f"{path} names the space {card.space!r}; expected one of {', '.join(BUILT_IN)}.")
    space = load_space(named or card.space).for_task(
        in_channels=card.channels, num_classes=len(card.class_names), resolution=card.resolution
    )
    architecture = parse_architecture(card.architecture)
    space.validate(architecture)
    found = tuple(block.operators[value].name for block, value in zip(space.blocks, architecture, strict=True))
    if found != card.operators:
        raise ArtifactMismatchError(
            f"{path} has the operators {', '.join(card.operators)}; architecture {card.architecture} of {space.name} "
            f"now has {', '.join(found)}. Name the space file that the network was trained with."
        )
    return space


def _check_answer(network: ChainNetwork, card: NetworkCard, path: Path) -> None:
    expected = np.array(card.probe)
    found = np.array(probe(network, channels=card.channels, resolution=card.resolution))
    if not np.allclose(found, expected, rtol=0, atol=_TOLERANCE * max(1.0, np.abs(expected).max())):
        raise ArtifactMismatchError(
            f"The network rebuilt from {path} answers otherwise than the exported one (largest difference of a logit "
            f"{np.abs(found - expected).max():.3g}): its weights or the code of its operators have changed. Export "
            "again."
        )
