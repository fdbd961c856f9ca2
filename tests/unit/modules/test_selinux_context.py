"""test_selinux_context: contexts of files on a host with SELinux, played by a folder in the place of the kernel's."""

from __future__ import annotations

import ctypes.util
import os
from pathlib import Path

import pytest

from pybible.agent.modules import selinux_context
from tests.support.modules import context, run_module

_ATTRIBUTE = "security.selinux"
_CONTEXT = "system_u:object_r:etc_t:s0"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel with SELinux and levels, and files that can carry a context."""
    folder = tmp_path / "kernel"
    folder.mkdir()
    (folder / "enforce").write_text("1")
    (folder / "mls").write_text("1")
    monkeypatch.setattr(selinux_context, "_KERNEL", folder)
    try:
        (tmp_path / "probe").touch()
        os.setxattr(tmp_path / "probe", _ATTRIBUTE, b"x")
    except OSError as error:
        pytest.skip(f"files can't carry a context here: {error}")
    return folder


def labelled(path: Path, text: str = _CONTEXT) -> Path:
    """Return a file with a context."""
    path.write_text("x")
    os.setxattr(path, _ATTRIBUTE, f"{text}\0".encode())
    return path


def of(path: Path) -> str:
    """Return a file's context."""
    return os.getxattr(path, _ATTRIBUTE).decode().rstrip("\0")


def test_the_parts_that_are_given_are_set_and_the_others_stay(kernel: Path, tmp_path: Path) -> None:
    path = labelled(tmp_path / "file")
    arguments = {"path": str(path), "setype": "httpd_sys_content_t", "selevel": "s0:c1"}
    result = run_module("file", arguments)
    assert (result["changed"], of(path)) == (True, "system_u:object_r:httpd_sys_content_t:s0:c1")
    assert result["secontext"] == of(path)
    assert run_module("file", arguments)["changed"] is False


def test_check_mode_tells_and_sets_nothing(kernel: Path, tmp_path: Path) -> None:
    path = labelled(tmp_path / "file")
    result = run_module("file", {"path": str(path), "seuser": "user_u"}, context(check=True, diff=True))
    assert result["changed"] is True
    assert result["diff"]["before"]["secontext"] == _CONTEXT.split(":")
    assert result["diff"]["after"]["secontext"][0] == "user_u"
    assert of(path) == _CONTEXT


def test_a_policy_without_levels_takes_none(kernel: Path, tmp_path: Path) -> None:
    (kernel / "mls").write_text("0")
    path = labelled(tmp_path / "file", "system_u:object_r:etc_t")
    assert run_module("file", {"path": str(path), "selevel": "s0"})["changed"] is False


def test_a_file_that_is_written_anew_keeps_its_context(kernel: Path, tmp_path: Path) -> None:
    path = labelled(tmp_path / "file")
    assert run_module("lineinfile", {"path": str(path), "line": "more"})["changed"] is True
    assert of(path) == _CONTEXT


def test_a_file_that_is_written_anew_takes_the_context_asked_for(kernel: Path, tmp_path: Path) -> None:
    path = labelled(tmp_path / "file")
    assert run_module("lineinfile", {"path": str(path), "line": "more", "setype": "tmp_t"})["changed"] is True
    assert of(path) == "system_u:object_r:tmp_t:s0"


def test_the_policys_own_needs_its_library(kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", lambda _name: None)
    path = labelled(tmp_path / "file")
    result = run_module("file", {"path": str(path), "setype": "_default"})
    assert result["failed"] is True
    assert result["msg"] == f"the policy's context of {path} needs libselinux, which this host does not have"


def test_without_selinux_nothing_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selinux_context, "_KERNEL", tmp_path / "none")
    (tmp_path / "file").write_text("x")
    result = run_module("file", {"path": str(tmp_path / "file"), "setype": "etc_t"})
    assert result["changed"] is False
    assert "secontext" not in result
