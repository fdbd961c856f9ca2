"""test_general_modules: where modules of community.general, and expect, do on purpose what the stock ones don't."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pybible.agent.modules import htpasswd_hashes, pam_limits, xml_document
from pybible.agent.modules.api import ModuleError
from tests.support.modules import context, run_module

LIMIT = {"domain": "joe", "limit_type": "soft", "limit_item": "core"}


def _edited(text: str, value: str, comment: str = "") -> str:
    args = pam_limits.Args(
        domain="joe", limit_type="soft", limit_item="core", value=value, comment=comment, dest="/etc/limits"
    )
    return pam_limits.edit(text, args).text


def test_a_limit_keeps_its_own_comment_and_takes_no_other() -> None:
    text = "ann soft core 1 # hers\njoe soft core 1 # his\n"
    assert _edited(text, "2") == "ann soft core 1 # hers\njoe\tsoft\tcore\t2\t# his\n"
    assert _edited("ann soft core 1 # hers\n", "2") == "ann soft core 1 # hers\njoe\tsoft\tcore\t2\n"
    assert _edited(text, "2", comment="new") == "ann soft core 1 # hers\njoe\tsoft\tcore\t2\t#new\n"


def test_a_limit_behind_a_line_without_end_is_on_its_own_line() -> None:
    assert _edited("ann soft core 1", "2") == "ann soft core 1\njoe\tsoft\tcore\t2\n"


def test_limits_that_are_there_leave_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "limits"
    file.write_text("joe soft core 1\n")
    inode = file.stat().st_ino
    assert run_module("community.general.pam_limits", {**LIMIT, "value": "1", "dest": str(file)})["changed"] is False
    assert file.stat().st_ino == inode


def test_a_scheme_that_is_not_known_names_the_library_that_may_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(htpasswd_hashes, "find_spec", lambda _name: None)
    with pytest.raises(ModuleError, match=r"library \(passlib\) for hash_scheme rot13: without it there are apr_md5"):
        htpasswd_hashes.make("rot13", "secret")


def test_a_host_without_crypt_names_the_library_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(htpasswd_hashes, "find_spec", lambda _name: None)
    monkeypatch.setattr(htpasswd_hashes, "_LIBRARIES", ())
    with pytest.raises(ModuleError, match="passlib"):
        htpasswd_hashes.make("bcrypt", "secret")


@pytest.mark.parametrize("scheme", ["bcrypt", "sha256_crypt", "sha512_crypt", "md5_crypt", "des_crypt"])
def test_what_crypt_makes_is_the_passwords(scheme: str) -> None:
    made = htpasswd_hashes.make(scheme, "secret")
    assert htpasswd_hashes.matches("secret", made)
    assert not htpasswd_hashes.matches("Secret", made)


def test_a_host_without_lxml_is_told_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_document, "find_spec", lambda _name: None)
    result = run_module("community.general.xml", {"xmlstring": "<a/>", "xpath": "/a"})
    assert result["failed"]
    assert "Failed to import the required Python library (lxml)" in result["msg"]


def test_the_attribute_at_the_end_of_a_path_gets_the_value() -> None:
    pytest.importorskip("lxml")
    args = {"xmlstring": '<a><b c="1"/></a>', "xpath": "/a/b/@c", "value": 2}
    result = run_module("community.general.xml", args)
    assert result["xmlstring"].endswith('<a><b c="2"/></a>')
    assert run_module("community.general.xml", {**args, "xmlstring": result["xmlstring"]})["changed"] is False


def test_a_document_has_no_file_of_the_host_read_into_it(tmp_path: Path) -> None:
    pytest.importorskip("lxml")
    (tmp_path / "secret").write_text("hidden")
    document = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><a>&x;<b>1</b></a>'
    result = run_module("community.general.xml", {"xmlstring": document, "xpath": "/a/b", "value": "2"})
    assert "<a>&x;<b>2</b></a>" in result["xmlstring"]
    told = run_module("community.general.xml", {"xmlstring": document, "xpath": "/a", "content": "text"})
    assert "hidden" not in str(told)


@pytest.mark.skipif(shutil.which("make") is None, reason="this machine has no make")
def test_make_runs_in_no_other_folder_than_the_one_that_is_named(tmp_path: Path) -> None:
    result = run_module("community.general.make", {"chdir": f"{tmp_path}/gone"})
    assert (result["failed"], result["msg"]) == (True, f"chdir: {tmp_path}/gone is not a directory")


@pytest.mark.skipif(shutil.which("git") is None, reason="this machine has no git")
def test_a_setting_of_git_with_several_lines_is_set_once(tmp_path: Path) -> None:
    args = {"name": "a.b", "value": "one\ntwo", "scope": "file", "file": f"{tmp_path}/config"}
    assert [run_module("community.general.git_config", args)["changed"] for _ in range(2)] == [True, False]


def test_a_program_that_asks_its_terminal_itself_is_answered(tmp_path: Path) -> None:
    program = tmp_path / "ask.sh"
    program.write_text("#!/bin/sh\nexec </dev/null >/dev/null 2>&1\nprintf 'Password: ' >/dev/tty; read x </dev/tty\n"
                       "echo \"<$x>\" >/dev/tty\n")  # fmt: skip
    program.chmod(0o755)
    heard: list[bytes] = []
    how = context(emit=lambda _stream, data: heard.append(data))
    result = run_module("expect", {"command": str(program), "responses": {"Password": "secret"}}, how)
    assert (result["rc"], result["stdout"]) == (0, "Password: <secret>")
    assert b"".join(heard) == b"Password: <secret>\r\n"


def test_a_command_that_is_silent_for_too_long_is_ended(tmp_path: Path) -> None:
    started = tmp_path / "pid"
    program = tmp_path / "hang.sh"
    program.write_text(f"#!/bin/sh\necho $$ > {started}\nexec sleep 60\n")
    program.chmod(0o755)
    result = run_module("expect", {"command": str(program), "responses": {"x": "y"}, "timeout": 1})
    assert (result["failed"], result["rc"], result["msg"]) == (True, None, "command exceeded timeout")
    pid = started.read_text().strip()
    assert subprocess.run(["kill", "-0", pid], capture_output=True, check=False).returncode != 0
