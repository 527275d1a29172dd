from __future__ import annotations

import json

import numpy as np
import pytest

from archatlas.atlas import load_atlas, tabulate
from archatlas.errors import ArtifactMismatchError
from archatlas.records import TwoStageTerms
from archatlas.testing.atlas_oracle import random_graph, random_terms


@pytest.fixture
def atlas():
    rng = np.random.default_rng(0)
    graph = random_graph((3, 3, 2), rng, stages=(0, 0, 1))
    order = TwoStageTerms(screen=random_terms((3, 3, 2), 1, rng), rank=random_terms((3, 3, 2), 0, rng), threshold=0.1)
    return tabulate(graph, order)


def test_a_saved_atlas_is_the_same_to_the_last_bit(atlas, tmp_path):
    atlas.save(tmp_path)
    loaded = load_atlas(tmp_path, atlas.graph)
    for name in ("screen", "rank"):
        before, after = getattr(atlas.order, name), getattr(loaded.order, name)
        assert before.offset == after.offset
        assert all(np.array_equal(a, b) for a, b in zip(before.terms, after.terms, strict=True))
    assert loaded.order.threshold == atlas.order.threshold
    assert loaded.graph.no_ops == atlas.graph.no_ops
    assert loaded.top(5) == atlas.top(5)
    assert loaded.best() == atlas.best()
    assert {path.name for path in tmp_path.iterdir()} == {"atlas.json", "terms.safetensors"}


def test_no_screen_survives_saving(atlas, tmp_path):
    order = TwoStageTerms(screen=atlas.order.screen, rank=atlas.order.rank, threshold=-np.inf)
    tabulate(atlas.graph, order).save(tmp_path)
    assert load_atlas(tmp_path).order.threshold == -np.inf


def change(path, **facts):
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_other_versions_spaces_and_damage_are_refused(atlas, tmp_path):
    with pytest.raises(ArtifactMismatchError, match=r"atlas\.json, which is missing"):
        load_atlas(tmp_path)
    atlas.save(tmp_path)
    other = random_graph((3, 3, 2), np.random.default_rng(0), stages=(0, 1, 2))
    with pytest.raises(ArtifactMismatchError, match=r"belongs to the space 'random' \(digest \w+\), not to 'random'"):
        load_atlas(tmp_path, other)
    change(tmp_path / "atlas.json", kind="guessed")
    with pytest.raises(ArtifactMismatchError, match="kind 'guessed'"):
        load_atlas(tmp_path)
    change(tmp_path / "atlas.json", kind="factored", threshold="high")
    with pytest.raises(ArtifactMismatchError, match="damaged"):
        load_atlas(tmp_path)
    change(tmp_path / "atlas.json", threshold=None, format_version=99)
    with pytest.raises(ArtifactMismatchError, match="format version 99; this archatlas reads version 1"):
        load_atlas(tmp_path)
    atlas.save(tmp_path)
    (tmp_path / "terms.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(ArtifactMismatchError, match=r"terms\.safetensors is missing or damaged"):
        load_atlas(tmp_path)
