"""A factored atlas on disk: `atlas.json` says what it is, `terms.safetensors` holds the numbers. Never a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from archatlas.errors import ArtifactMismatchError
from archatlas.files import atomic_path, read_json, write_json
from archatlas.records import CostTable, Floats, WindowTerms
from archatlas.spaces import SpaceGraph

FORMAT_VERSION = 1
HEADER = "atlas.json"
_NUMBERS = "terms.safetensors"


def write_header(directory: Path, kind: str, graph: SpaceGraph, **facts: Any) -> None:
    """Write `atlas.json`: the format, the kind of atlas, the whole graph, and further facts."""
    header = {"format_version": FORMAT_VERSION, "kind": kind, "digest": graph.digest, "graph": graph_facts(graph)}
    write_json(directory / HEADER, header | facts)


def read_header(directory: Path, graph: SpaceGraph | None = None) -> dict[str, Any]:
    """Read `atlas.json`.

    Args:
        directory: Of the atlas.
        graph: What the atlas must belong to; None to take it as it is.

    Raises:
        ArtifactMismatchError: If it is missing, damaged, of another format version, or of another graph.
    """
    path = directory / HEADER
    content = read_json(path)
    header: dict[str, Any] = content if isinstance(content, dict) else {}
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        raise ArtifactMismatchError(
            f"{path} has format version {version!r}; this archatlas reads version {FORMAT_VERSION}. "
            "Build the atlas again with this version."
        )
    if graph is not None and header.get("digest") != graph.digest:
        raise ArtifactMismatchError(
            f"{path} belongs to the space {header.get('graph', {}).get('name')!r} (digest {header.get('digest')}), "
            f"not to {graph.name!r} ({graph.digest}). Use the run of that space, or build the atlas again."
        )
    return header


def read_graph(header: Mapping[str, Any], path: Path) -> SpaceGraph:
    """Return the graph that a header describes.

    Raises:
        ArtifactMismatchError: If the header is damaged.
    """
    try:
        facts = header["graph"]
        graph = SpaceGraph(
            name=facts["name"],
            num_choices=tuple(facts["num_choices"]),
            edges=tuple((int(a), int(b)) for a, b in facts["edges"]),
            stages=tuple(facts["stages"]),
            attribute_names=tuple(facts["attribute_names"]),
            attributes=tuple(np.array(rows, dtype=float) for rows in facts["attributes"]),
            no_ops=tuple(tuple(bool(flag) for flag in flags) for flags in facts["no_ops"]),
            costs={
                name: CostTable(name=name, fixed=table["fixed"], entries=tuple(map(np.array, table["entries"])))
                for name, table in facts["costs"].items()
            },
            operator_names=tuple(map(tuple, facts["operator_names"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactMismatchError(f"{path} is damaged ({error!r}); build the atlas again.") from None
    if graph.digest != header.get("digest"):
        raise ArtifactMismatchError(f"{path} is damaged: its digest does not fit its graph; build the atlas again.")
    return graph


def graph_facts(graph: SpaceGraph) -> dict[str, Any]:
    """Return a graph ready for JSON; under `graph`, beside its `digest`, `read_graph` reads it back."""
    return {
        "name": graph.name,
        "num_choices": graph.num_choices,
        "edges": graph.edges,
        "stages": graph.stages,
        "attribute_names": graph.attribute_names,
        "attributes": [rows.tolist() for rows in graph.attributes],
        "no_ops": graph.no_ops,
        "costs": {
            name: {"fixed": table.fixed, "entries": [entry.tolist() for entry in table.entries]}
            for name, table in graph.costs.items()
        },
        "operator_names": graph.operator_names,
    }


def write_terms(directory: Path, named: Mapping[str, WindowTerms]) -> dict[str, Any]:
    """Write the numbers of sums over windows; return what the header must hold of them."""
    arrays = {f"{name}.{i}": term for name, terms in named.items() for i, term in enumerate(terms.terms)}
    with atomic_path(directory / _NUMBERS) as temporary:
        temporary.write_bytes(save(arrays))
    return {name: {"radius": terms.radius, "offset": terms.offset} for name, terms in named.items()}


def read_terms(directory: Path, described: Mapping[str, Any], length: int) -> dict[str, WindowTerms]:
    """Read what `write_terms` wrote, for chains of `length` blocks.

    Raises:
        ArtifactMismatchError: If the file is missing, damaged, or does not fit its header.
    """
    path = directory / _NUMBERS
    try:
        arrays: dict[str, Floats] = load(path.read_bytes())
        return {
            name: WindowTerms(
                radius=int(facts["radius"]),
                offset=float(facts["offset"]),
                terms=tuple(arrays[f"{name}.{i}"] for i in range(length)),
            )
            for name, facts in described.items()
        }
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactMismatchError(f"{path} is missing or damaged ({error}); build the atlas again.") from None
