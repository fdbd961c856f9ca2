"""test_idempotence: every module that changes a host: check mode touches nothing, the second time changes nothing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pybible.wire.values import JsonObject
from tests.conformance.module_cases import tree
from tests.support.modules import context, run_module

CONTENT = b"content\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()

OPERATIONS: list[tuple[str, JsonObject]] = [
    ("file", {"path": "DIR/new", "state": "directory", "mode": "0750"}),
    ("file", {"path": "DIR/a/b/c", "state": "directory"}),
    ("file", {"path": "DIR/dir", "state": "directory", "recurse": True, "mode": "u=rwX,go="}),
    ("file", {"path": "DIR/conf", "mode": "u+x,g-r"}),
    ("file", {"path": "DIR/conf", "state": "absent"}),
    ("file", {"path": "DIR/dir", "state": "absent"}),
    ("file", {"path": "DIR/new", "src": "conf", "state": "link"}),
    ("file", {"path": "DIR/link", "src": "dir/x", "state": "link"}),
    ("file", {"path": "DIR/conf", "src": "dir/x", "state": "link", "force": True}),
    ("file", {"path": "DIR/new", "src": "DIR/conf", "state": "hard"}),
    ("file", {"path": "DIR/conf", "src": "DIR/dir/x", "state": "hard", "force": True}),
    ("file", {"path": "DIR/new", "state": "touch", "access_time": "preserve", "modification_time": "preserve"}),
    ("file", {"path": "DIR/conf", "modification_time": "202001020304.05"}),
    ("copy", {"dest": "DIR/new", "_content": SHA256, "mode": "0600"}),
    ("copy", {"dest": "DIR/conf", "_content": SHA256}),
    ("copy", {"dest": "DIR/dir/", "_content": SHA256, "_original_basename": "y"}),
    ("copy", {"dest": "DIR/deep/er/", "_content": SHA256, "_original_basename": "y", "directory_mode": "0700"}),
    ("copy", {"dest": "DIR/conf", "src": "DIR/dir/x", "remote_src": True, "mode": "0600"}),
    ("copy", {"dest": "DIR/twin", "src": "DIR/dir/", "remote_src": True}),
    ("lineinfile", {"path": "DIR/conf", "line": "new"}),
    ("lineinfile", {"path": "DIR/conf", "regexp": "^port", "line": "port 443"}),
    ("lineinfile", {"path": "DIR/conf", "regexp": "^port (\\d)0", "line": "port \\g<1>1", "backrefs": True}),
    ("lineinfile", {"path": "DIR/conf", "line": "new", "insertbefore": "BOF"}),
    ("lineinfile", {"path": "DIR/conf", "line": "new", "insertafter": "^port", "mode": "0600"}),
    ("lineinfile", {"path": "DIR/conf", "regexp": "^port", "state": "absent"}),
    ("lineinfile", {"path": "DIR/gone", "line": "x", "create": True, "mode": "0640"}),
    ("command", {"cmd": "touch DIR/made", "creates": "DIR/made"}),
    ("shell", {"cmd": "rm DIR/conf", "removes": "DIR/conf"}),
]


def build(folder: Path) -> None:
    (folder / "dir").mkdir()
    (folder / "dir" / "x").write_text("x\n")
    (folder / "conf").write_text("port 80\nname a\n")
    (folder / "link").symlink_to("conf")
    for path in (folder / "dir" / "x", folder / "conf"):
        os.utime(path, (1_000_000_000, 1_000_000_000))


def placed(args: JsonObject, folder: Path) -> JsonObject:
    return {
        name: value.replace("DIR", str(folder)) if isinstance(value, str) else value for name, value in args.items()
    }


def ids() -> list[str]:
    return [f"{name} {' '.join(str(value) for value in args.values())}"[:70] for name, args in OPERATIONS]


@pytest.mark.parametrize(("name", "args"), OPERATIONS, ids=ids())
def test_check_mode_says_what_would_change_and_touches_nothing(name: str, args: JsonObject, tmp_path: Path) -> None:
    folder = tmp_path / "host"
    folder.mkdir()
    build(folder)
    content = tmp_path / "content"
    content.write_bytes(CONTENT)
    before = tree(folder)
    result = run_module(name, placed(args, folder), context(check=True, diff=True, content={SHA256: content}))
    assert result.get("failed", False) is False, result
    assert result["changed"] is True
    assert tree(folder) == before


@pytest.mark.parametrize(("name", "args"), OPERATIONS, ids=ids())
def test_the_second_time_changes_nothing(name: str, args: JsonObject, tmp_path: Path) -> None:
    folder = tmp_path / "host"
    folder.mkdir()
    build(folder)
    content = tmp_path / "content"
    content.write_bytes(CONTENT)
    how = context(diff=True, content={SHA256: content})
    first = run_module(name, placed(args, folder), how)
    assert (first.get("failed", False), first["changed"]) == (False, True), first
    after = tree(folder)
    second = run_module(name, placed(args, folder), how)
    assert (second.get("failed", False), second["changed"]) == (False, False), second
    assert tree(folder) == after
    assert not [path for path in folder.rglob("*") if path.name.endswith(".pybible")]
