from __future__ import annotations

import pytest

from archatlas.errors import ArtifactMismatchError
from archatlas.files import atomic_path, read_json, write_json, write_text


def test_json_is_written_and_read_back(tmp_path):
    path = tmp_path / "new" / "folder" / "value.json"
    write_json(path, {"a": [1, 2.5, None]})
    assert read_json(path) == {"a": [1, 2.5, None]}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(ArtifactMismatchError, match=r"nothing\.json, which is missing; run the stage"):
        read_json(tmp_path / "nothing.json")
    (tmp_path / "cut.json").write_text('{"a": ')
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("cut.json", "bytes.json"):
        with pytest.raises(ArtifactMismatchError, match=f"{name} is no JSON .* delete it"):
            read_json(tmp_path / name)
