"""Reading an atlas of either form."""

from __future__ import annotations

from pathlib import Path

from archatlas.atlas import enumerated, factored
from archatlas.atlas.enumerated import EnumeratedAtlas
from archatlas.atlas.factored import FactoredAtlas
from archatlas.atlas.networks import NETWORKS, is_enumerable, is_whole, write_networks
from archatlas.atlas.storage import HEADER, read_header
from archatlas.errors import ArtifactMismatchError
from archatlas.spaces import SpaceGraph


def networks_table(atlas: FactoredAtlas | EnumeratedAtlas, directory: Path) -> Path | None:
    """Return the table of all networks beside an atlas; None if the space is too large.

    That of a factored atlas is written on first need, and again if it is found cut short.
    """
    path = directory / NETWORKS
    if isinstance(atlas, FactoredAtlas) and not is_whole(path):
        if not is_enumerable(atlas.graph):
            return None
        write_networks(path, atlas.graph, lambda rows: {"score": atlas.score(rows), **atlas.costs(rows)})
    return path


def load_atlas(directory: Path, graph: SpaceGraph | None = None) -> FactoredAtlas | EnumeratedAtlas:
    """Read what `save` wrote.

    Args:
        directory: Of the atlas, such as `run/atlas`.
        graph: The space that it must belong to; None to take it as it is.

    Raises:
        ArtifactMismatchError: If it is missing, damaged, of another format version, or of another space.
    """
    header = read_header(directory, graph)
    if header.get("kind") == factored.KIND:
        return factored.load_factored(directory, header)
    if header.get("kind") == enumerated.KIND:
        return enumerated.load_enumerated(directory, header)
    raise ArtifactMismatchError(
        f"{directory / HEADER} is of kind {header.get('kind')!r}; expected factored or enumerated. "
        "Build the atlas again."
    )
