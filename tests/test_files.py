from __future__ import annotations

import pytest

from archatlas.errors import ArtifactMismatchError, StorageError
from archatlas.files import atomic_path, read_header, read_json, remove_leftovers, write_json, write_text


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
        with pytest.raises(ArtifactMismatchError, match=f"{name} is damaged, it is no JSON .* run the stage"):
            read_json(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": 3, "a": 1}', "has format 3; this version of archatlas reads formats up to 2"),
        ('{"format": "new"}', "has format 'new'"),
        ("[]", "has format None"),
        ('{"b": 1}', r"\(format 1\) lacks a: it is damaged, or of a version that is no longer read"),
    ],
)
def test_headers_of_other_formats_are_refused(tmp_path, content, message):
    (tmp_path / "header.json").write_text(content)
    with pytest.raises(ArtifactMismatchError, match=message):
        read_header(tmp_path / "header.json", 2, ["a"])


def test_headers_of_earlier_formats_are_read(tmp_path):
    for content in ('{"a": 1}', '{"format": 2, "a": 1}'):
        (tmp_path / "header.json").write_text(content)
        assert read_header(tmp_path / "header.json", 2, ["a"])["a"] == 1


def test_leftovers_of_dead_processes_are_removed(tmp_path):
    dead, alive, foreign = (tmp_path / f".w.pt.{n}.pt" for n in (2**22 - 1, 1, "x"))
    for path in (dead, alive, foreign, tmp_path / ".lock"):
        path.touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, foreign.name, ".lock"}


def test_a_disk_that_refuses_is_named(tmp_path):
    """Also where a library raises its own error over that of the system."""
    for behind in (False, True):
        with pytest.raises(StorageError, match=r"file\.txt cannot be written: No space left on device"):  # noqa: SIM117
            with atomic_path(tmp_path / "file.txt"):
                try:
                    raise OSError(28, "full")
                except OSError:
                    if not behind:
                        raise
                    raise RuntimeError("unexpected position")  # noqa: B904
    assert not list(tmp_path.iterdir())
