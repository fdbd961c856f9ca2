"""test_copy: attached content, as the engine's copy and template actions send it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pybible.agent.modules.copy import _DIFF_LIMIT
from pybible.wire.values import JsonObject
from tests.support.modules import context, run_module

Send = Callable[..., JsonObject]

ONE = b"one\n"
SHA1 = hashlib.sha1(ONE, usedforsecurity=False).hexdigest()
MD5 = hashlib.md5(ONE, usedforsecurity=False).hexdigest()


@pytest.fixture
def send(tmp_path: Path) -> Send:
    def run(
        dest: Path | str, *, data: bytes = ONE, check: bool = False, diff: bool = False, **args: object
    ) -> JsonObject:
        source = tmp_path / "attached"
        source.write_bytes(data)
        how = context(check=check, diff=diff, content={"sha": source})
        result = run_module("copy", {"dest": str(dest), "_content": "sha", "_size": len(data), **args}, how)
        del result["invocation"]
        return result

    return run


def test_new_content_says_what_it_is(send: Send, tmp_path: Path) -> None:
    result = send(tmp_path / "new", mode="0640")
    expected = {
        "changed": True,
        "checksum": SHA1,
        "md5sum": MD5,
        "diff": [],
        "mode": "0640",
        "state": "file",
        "size": 4,
    }
    assert {name: result[name] for name in expected} == expected
    assert result["dest"] == str(tmp_path / "new")
    assert {"src", "uid", "gid", "owner", "group"} <= set(result)


def test_the_same_content_is_no_change_and_is_described_by_its_path(send: Send, tmp_path: Path) -> None:
    send(tmp_path / "new")
    result = send(tmp_path / "new", diff=True)
    path = str(tmp_path / "new")
    assert (result["changed"], result["path"], result["dest"], result["checksum"]) == (False, path, path, SHA1)
    assert result["diff"] == {"before": {"path": path}, "after": {"path": path}}
    assert not {"md5sum", "src"} & set(result)


def test_the_same_content_with_another_mode_is_a_change_of_the_mode_alone(send: Send, tmp_path: Path) -> None:
    send(tmp_path / "new", mode="0644")
    path = str(tmp_path / "new")
    result = send(path, mode="0600", diff=True)
    assert (result["changed"], result["mode"]) == (True, "0600")
    assert result["diff"] == {"before": {"path": path, "mode": "0644"}, "after": {"path": path, "mode": "0600"}}


def test_check_mode_answers_with_the_change_and_its_diff_only(send: Send, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old\n")
    path = str(tmp_path / "old")
    shown = {"before_header": path, "before": "old\n", "after_header": path, "after": "one\n"}
    assert send(path, check=True, diff=True) == {"changed": True, "diff": [shown]}
    assert send(tmp_path / "new", check=True, diff=True)["diff"][0]["before"] == ""
    assert send(tmp_path / "gone" / "new", check=True) == {"changed": True, "diff": []}
    assert (tmp_path / "old").read_text() == "old\n"


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (b"a\0b", ONE, {"dst_binary": 1, "after": "one\n"}),
        (b"x" * (_DIFF_LIMIT + 1), ONE, {"dst_larger": _DIFF_LIMIT, "after": "one\n"}),
        (b"old\n", b"a\0b", {"before": "old\n", "src_binary": 1}),
        (b"old\n", b"x" * (_DIFF_LIMIT + 1), {"before": "old\n", "src_larger": _DIFF_LIMIT}),
        (b"old\n", b"\xe9\n", {"before": "old\n", "after": "\udce9\n"}),
    ],
)
def test_a_diff_leaves_out_what_nobody_can_read(
    old: bytes, new: bytes, shown: JsonObject, send: Send, tmp_path: Path
) -> None:
    (tmp_path / "old").write_bytes(old)
    diff = send(tmp_path / "old", data=new, diff=True)["diff"][0]
    assert {name: value for name, value in diff.items() if not name.endswith("header")} == shown


def test_a_file_that_may_not_be_replaced_stays(send: Send, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old\n")
    result = send(tmp_path / "old", force=False, src="/files/a")
    assert result == {"changed": False, "dest": str(tmp_path / "old"), "src": "/files/a"}
    assert send(tmp_path / "new", force=False)["changed"] is True


def test_a_folder_takes_the_file_under_its_own_name(send: Send, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    assert send(tmp_path / "folder", _original_basename="a")["dest"] == str(tmp_path / "folder" / "a")
    assert send(f"{tmp_path}/link/", _original_basename="b")["dest"] == f"{tmp_path}/link/b"
    assert send(tmp_path / "folder")["msg"] == "can not use content with a dir as dest"


def test_folders_are_made_only_for_a_destination_with_a_slash(send: Send, tmp_path: Path) -> None:
    result = send(f"{tmp_path}/a/b/", _original_basename="x", directory_mode="0711")
    assert result["dest"] == f"{tmp_path}/a/b/x"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o711
    result = send(tmp_path / "c" / "x")
    assert (result["failed"], result["msg"]) == (True, f"Destination directory {tmp_path}/c does not exist")
    assert (result["checksum"], result["diff"]) == (SHA1, [])


def test_a_link_is_replaced_or_followed(send: Send, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("one\n")
    (tmp_path / "link").symlink_to("target")
    followed = send(tmp_path / "link", follow=True)
    assert (followed["changed"], followed["dest"]) == (False, str(tmp_path / "target"))
    replaced = send(tmp_path / "link")
    assert (replaced["changed"], replaced["state"]) == (True, "file")
    assert not (tmp_path / "link").is_symlink()


def test_content_that_is_not_valid_is_not_used(send: Send, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old\n")
    result = send(tmp_path / "old", validate="grep two %s", backup=True)
    assert (result["failed"], result["msg"], result["exit_status"]) == (True, "failed to validate", 1)
    assert (tmp_path / "old").read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["attached", "old"]


def test_a_backup_is_named_in_the_result(send: Send, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old\n")
    result = send(tmp_path / "old", backup=True)
    assert Path(result["backup_file"]).read_text() == "old\n"
    assert "backup_file" not in send(tmp_path / "old", backup=True)


def test_content_with_another_checksum_is_refused(send: Send, tmp_path: Path) -> None:
    result = send(tmp_path / "new", checksum="abc")
    assert (result["failed"], result["expected_checksum"], result["checksum"]) == (True, "abc", SHA1)
    assert not (tmp_path / "new").exists()
