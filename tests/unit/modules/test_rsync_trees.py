"""test_rsync_trees: what rsync would send, packed at one end and unpacked at the other."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.agent.modules import rsync_trees
from pybible.agent.modules.api import ModuleError
from pybible.wire.values import JsonObject
from tests.support.modules import context, run_module

MODULE = "ansible.posix.synchronize"
needs_rsync = pytest.mark.skipif(shutil.which("rsync") is None, reason="this machine has no rsync")


def source_of(folder: Path) -> Path:
    """Make a tree of all kinds of things that are copied."""
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "one").write_text("1")
    (folder / "a.log").write_text("log")
    (folder / "odd\nname \\#012").write_text("odd")
    (folder / "sub" / "two").write_text("2")
    (folder / "sub" / "two").chmod(0o640)
    (folder / "link").symlink_to("one")
    (folder / "hard").hardlink_to(folder / "one")
    os.utime(folder / "link", (1_000_000_000, 1_000_000_000), follow_symlinks=False)
    os.utime(folder / "sub", (1_000_000_000, 1_000_000_000))
    return folder


def relayed(args: JsonObject, folder: Path) -> tuple[JsonObject, str]:
    """Pack at one end and unpack at the other; return the result, and the archive's sha256."""
    archive = folder / "archive.tar"

    def keep(_sha256: str, _size: int, file: BinaryIO) -> None:
        archive.write_bytes(file.read())

    packed = run_module(MODULE, {**args, "_pack": True}, replace(context(), give=keep))
    if packed.get("failed"):
        return packed, ""
    sha256 = str(packed["sha256"])
    assert packed["size"] == archive.stat().st_size
    return run_module(MODULE, {**args, "_content": sha256}, context(content={sha256: archive})), sha256


def listed(folder: Path) -> dict[str, tuple[int, str]]:
    """Return what is in a folder: mode, and text or target."""
    found = {}
    for path in folder.rglob("*"):
        text = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, text)
    return found


@needs_rsync
def test_a_tree_arrives_as_it_is_and_the_second_time_nothing_changes(tmp_path: Path) -> None:
    source = source_of(tmp_path / "src")
    args: JsonObject = {"src": f"{source}/", "dest": str(tmp_path / "dst")}
    first, sum_of_first = relayed(args, tmp_path)
    second, sum_of_second = relayed(args, tmp_path)
    assert (first["changed"], second["changed"], second["msg"]) == (True, False, "")
    assert sum_of_first == sum_of_second
    assert listed(tmp_path / "dst") == listed(source)
    assert str(source) in first["cmd"]


@needs_rsync
def test_what_is_excluded_is_not_even_packed(tmp_path: Path) -> None:
    source = source_of(tmp_path / "src")
    args: JsonObject = {"src": str(source), "dest": str(tmp_path / "dst"), "rsync_opts": ["--exclude", "*.log"]}
    relayed(args, tmp_path)
    with tarfile.open(tmp_path / "archive.tar") as opened:
        assert "src/a.log" not in opened.getnames()
    assert "src/a.log" not in listed(tmp_path / "dst")
    assert (tmp_path / "dst" / "src" / "one").read_text() == "1"


@needs_rsync
def test_what_the_source_has_not_goes_but_what_is_excluded_stays(tmp_path: Path) -> None:
    source = source_of(tmp_path / "src")
    (tmp_path / "dst").mkdir()
    (tmp_path / "dst" / "old").write_text("")
    (tmp_path / "dst" / "old.log").write_text("")
    options = ["--exclude=*.log"]
    relayed({"src": f"{source}/", "dest": str(tmp_path / "dst"), "delete": True, "rsync_opts": options}, tmp_path)
    assert not (tmp_path / "dst" / "old").exists()
    assert (tmp_path / "dst" / "old.log").exists()


@needs_rsync
def test_links_are_followed_where_they_start(tmp_path: Path) -> None:
    source = source_of(tmp_path / "src")
    relayed({"src": f"{source}/", "dest": str(tmp_path / "dst"), "copy_links": True}, tmp_path)
    assert not (tmp_path / "dst" / "link").is_symlink()
    assert (tmp_path / "dst" / "link").read_text() == "1"


@needs_rsync
def test_a_source_that_is_none_is_rsyncs_failure(tmp_path: Path) -> None:
    result, _ = relayed({"src": str(tmp_path / "none"), "dest": str(tmp_path / "dst")}, tmp_path)
    assert (result["failed"], result["rc"]) == (True, 23)


@needs_rsync
@pytest.mark.parametrize(
    ("args", "word"),
    [
        ({"rsync_opts": ["--files-from=x"]}, "--files-from=x"),
        ({"rsync_opts": ["-e", "ssh"]}, "-e"),
        ({"src": "host:/x"}, "host:/x"),
    ],
)
def test_what_needs_the_other_end_is_named(args: JsonObject, word: str, tmp_path: Path) -> None:
    result, _ = relayed({"src": str(tmp_path), "dest": "/nowhere", **args}, tmp_path)
    assert result["failed"] is True
    assert word in result["msg"]


def member(name: str, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    """Return an entry of an archive."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, linkname
    return made


def archive_of(*members: tarfile.TarInfo) -> Callable[[Path], Path]:
    """Return what writes an archive of these."""

    def write(folder: Path) -> Path:
        path = folder / "evil.tar"
        with tarfile.open(path, "w") as opened:
            for item in members:
                opened.addfile(item, io.BytesIO(b""))
        return path

    return write


@pytest.mark.parametrize(
    "archive",
    [
        archive_of(member("../out")),
        archive_of(member("/out")),
        archive_of(member("link", tarfile.SYMTYPE, "/"), member("link/out")),
        archive_of(member("a", tarfile.DIRTYPE), member("a", tarfile.SYMTYPE, "/"), member("a/out")),
        archive_of(member("hard", tarfile.LNKTYPE, "/etc/passwd")),
        archive_of(member("device", tarfile.CHRTYPE)),
        archive_of(member("a/../../out")),
    ],
)
def test_an_archive_that_would_leave_its_folder_is_refused(archive: Callable[[Path], Path], tmp_path: Path) -> None:
    with pytest.raises(ModuleError), rsync_trees.unpacked(archive(tmp_path)):
        pass


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1)))
def test_names_come_back_from_rsyncs_way_to_write_them(names: list[str]) -> None:
    def written(name: str) -> str:
        text = name.replace("\\#", "\\#134#")
        return "".join(f"\\#{ord(letter):03o}" if ord(letter) < 32 or ord(letter) == 127 else letter for letter in text)

    text = "".join(f"<<NAME>>{written(name)}\n" for name in names)
    assert rsync_trees.parse_names(text) == names


@given(st.text())
def test_any_text_of_rsyncs_is_read(text: str) -> None:
    rsync_trees.parse_names(text)
