"""test_reading: the modules that only look: stat, slurp, fetch."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pybible.agent.modules import slurp
from pybible.agent.modules.flags import read_flags
from tests.support.modules import context, run_module


def test_slurp_gives_the_content_in_base64(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\x00x")
    result = run_module("slurp", {"src": f"{tmp_path}/file"}, context(check=True))
    assert base64.b64decode(result["content"]) == b"\xff\x00x"
    assert (result["encoding"], result["source"], result["changed"]) == ("base64", f"{tmp_path}/file", False)


def test_fetch_gives_the_content_with_its_checksum(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"one\n")
    result = run_module("fetch", {"src": f"{tmp_path}/file"})
    assert base64.b64decode(result["content"]) == b"one\n"
    assert result["checksum"] == hashlib.sha1(b"one\n", usedforsecurity=False).hexdigest()
    assert result["size"] == 4


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gone", "File not found: DIR/gone"),
        ("folder", "remote file is a directory, fetch cannot work on directories"),
    ],
)
def test_fetch_says_why_it_cannot(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    result = run_module("fetch", {"src": f"{tmp_path}/{path}"})
    assert result["failed"] is True
    assert result["msg"] == message.replace("DIR", str(tmp_path))


def test_fetch_hands_a_large_file_over_beside_its_result(tmp_path: Path) -> None:
    given: list[tuple[str, bytes]] = []
    content = bytes(range(256)) * 1024
    (tmp_path / "large").write_bytes(content)
    how = replace(context(), give=lambda sha256, size, file: given.append((sha256, file.read(size))))
    result = run_module("fetch", {"src": f"{tmp_path}/large"}, how)
    sha256 = hashlib.sha256(content).hexdigest()
    assert given == [(sha256, content)]
    assert "content" not in result
    assert (result["sha256"], result["size"]) == (sha256, len(content))
    assert result["checksum"] == hashlib.sha1(content, usedforsecurity=False).hexdigest()


def test_fetch_hands_nothing_over_that_is_known(tmp_path: Path) -> None:
    content = b"x" * 200_000
    (tmp_path / "large").write_bytes(content)
    result = run_module("fetch", {"src": f"{tmp_path}/large", "_known": hashlib.sha256(content).hexdigest()})
    assert "failed" not in result


def test_slurp_refuses_what_no_result_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurp, "LIMIT", 10)
    (tmp_path / "large").write_text("x" * 11)
    result = run_module("slurp", {"src": f"{tmp_path}/large"})
    assert result["msg"] == f"{tmp_path}/large is larger than 10 bytes, the most that a result can hold: use fetch"


def test_stat_tells_pipes_and_sockets_apart(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "sock"))
        fifo = run_module("stat", {"path": f"{tmp_path}/fifo"})["stat"]
        sock = run_module("stat", {"path": f"{tmp_path}/sock"})["stat"]
    assert (fifo["isfifo"], fifo["issock"], fifo["mimetype"]) == (True, False, "inode/fifo")
    assert (sock["isfifo"], sock["issock"], sock["mimetype"]) == (False, True, "inode/socket")


def test_stat_reads_no_content_that_it_may_not_or_need_not(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "checksum" not in run_module("stat", {"path": f"{tmp_path}/fifo"})["stat"]


def test_an_owner_without_a_name_is_a_number(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    (tmp_path / "file").touch()
    os.chown(tmp_path / "file", 54321, 54321)
    found = run_module("stat", {"path": f"{tmp_path}/file"})["stat"]
    assert (found["pw_name"], found["gr_name"], found["uid"]) == ("54321", "54321", 54321)


@pytest.mark.skipif(shutil.which("lsattr") is None, reason="compares with the program lsattr")
def test_flags_are_those_of_lsattr(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "file"):
        if path != tmp_path:
            path.touch()
        done = subprocess.run(["lsattr", "-vd", path], capture_output=True, text=True, check=False)
        words = done.stdout.split()
        expected = (words[0], words[1].replace("-", "")) if done.returncode == 0 and len(words) > 2 else None
        assert read_flags(str(path)) == expected
