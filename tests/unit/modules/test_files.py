"""test_files: files are replaced at once or not at all, and keep what was theirs."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from pathlib import Path

import pytest

from pybible.agent.modules.api import FileAttributes, ModuleError
from pybible.agent.modules.digests import of_bytes, of_file
from pybible.agent.modules.files import back_up, beside, check_valid, replace

NOTHING = FileAttributes()


def put(path: Path, text: str, wanted: FileAttributes = NOTHING) -> None:
    with beside(str(path)) as temporary:
        Path(temporary).write_text(text)
        replace(temporary, str(path), wanted)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_new_file_has_what_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        put(tmp_path / "new", "x")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o640


def test_a_replaced_file_keeps_mode_and_extended_attributes(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("old")
    path.chmod(0o751)
    try:
        os.setxattr(path, "user.colour", b"red")
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            pytest.skip("this file system has no extended attributes")
        raise
    put(path, "new")
    assert (path.read_text(), mode(path)) == ("new", 0o751)
    assert os.getxattr(path, "user.colour") == b"red"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_replaced_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("old")
    os.chown(path, 65534, 65534)
    put(path, "new")
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def test_a_private_file_is_private_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    rename = Path.replace

    def watch(self: Path, target: str) -> Path:
        seen.append(mode(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    put(tmp_path / "key", "secret", FileAttributes(mode="0600"))
    assert seen == [0o600]


def test_a_link_is_replaced_and_its_target_untouched(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    put(tmp_path / "link", "new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "old"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("old")
    with pytest.raises(ModuleError) as caught:
        put(path, "new", FileAttributes(mode="nonsense"))
    assert caught.value.values["path"] == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("unsafe", [True, False])
def test_what_cannot_be_renamed_over_is_written_into_only_if_allowed(
    unsafe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mounted"
    path.write_text("old")
    inode = path.stat().st_ino

    def busy(self: Path, target: str) -> Path:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    if unsafe:
        put(path, "new", FileAttributes(unsafe_writes=True))
        assert (path.read_text(), path.stat().st_ino) == ("new", inode)
    else:
        with pytest.raises(ModuleError, match="Could not replace file"):
            put(path, "new")
        assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_backup_has_the_files_content_mode_and_times(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_text("old")
    path.chmod(0o640)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    backup = Path(back_up(str(path)))
    assert re.fullmatch(r"old\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~", backup.name)
    assert (backup.read_text(), mode(backup), backup.stat().st_mtime) == ("old", 0o640, 1_000_000_000)


def test_there_is_no_backup_of_nothing(tmp_path: Path) -> None:
    assert back_up(str(tmp_path / "gone")) == ""
    assert list(tmp_path.iterdir()) == []


def test_validation_is_a_command_without_a_shell(tmp_path: Path) -> None:
    path = tmp_path / "a b;touch x"
    path.write_text("right\n")
    check_valid("grep -q right '%s'", str(path))
    with pytest.raises(ModuleError, match="failed to validate") as caught:
        check_valid("grep -q wrong '%s'", str(path))
    assert caught.value.values["exit_status"] == 1
    with pytest.raises(ModuleError, match="validate must contain %s: true"):
        check_valid("true", str(path))


def test_digests_read_a_file_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    sha1, md5 = of_file(path, "sha1", "md5")
    content = path.read_bytes()
    assert sha1 == hashlib.sha1(content, usedforsecurity=False).hexdigest()
    assert md5 == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert of_bytes(content, "sha256") == [hashlib.sha256(content).hexdigest()]
