"""test_ctl_vault: `pybible-ctl vault` on files that ansible-vault of ansible-core 2.19.14 wrote (cases/vault)."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from pybible.server.cli import vault_passwords
from pybible.server.cli.exits import exit_status_of
from pybible.server.cli.main import ctl
from pybible.server.engine.vault import VaultSecret, VaultSecrets, vault_id_of
from pybible.wire.errors import PybibleError

FIXTURES = Path(__file__).parent / "cases" / "vault"
CLEAR = "user: admin\npassword: grüße\n".encode()
SECRETS = VaultSecrets([VaultSecret("default", b"secret")])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ansible-vault's files and password files, the current one. Plain text may only go to tmp/."""
    for path in FIXTURES.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "pw").write_text("secret\n")
    (tmp_path / "other").write_text("other\n")
    (tmp_path / "plain.yml").write_bytes(CLEAR)
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for name in ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST", "ANSIBLE_EDITOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def vault(*words: str) -> int:
    return exit_status_of(lambda: ctl.main(["vault", *words], standalone_mode=False))


def editor(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    script = folder / "editor"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["default.yml", "with-id.yml"])
def test_a_file_of_ansible_vault_is_shown(name: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert vault("view", "--vault-password-file", "pw", name) == 0
    assert capfdbinary.readouterr().out == CLEAR


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "other-password.yml",
            "Decryption failed (no vault secrets were found that could decrypt): other-password.yml",
        ),
        ("truncated.yml", "Vault format unhexlify error: the text is damaged or not complete: truncated.yml"),
        ("plain.yml", "Input is not vault encrypted data: plain.yml"),
        ("missing.yml", "missing.yml): No such file or directory"),
    ],
)
def test_a_file_that_does_not_open_is_named(name: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert vault("view", "--vault-password-file", "pw", name) == 1
    captured = capfd.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_a_file_that_does_not_open_stays_as_it_is(folder: Path) -> None:
    before = (folder / "truncated.yml").read_bytes()
    assert vault("decrypt", "--vault-password-file", "pw", "truncated.yml") == 1
    assert vault("rekey", "--vault-password-file", "pw", "--new-vault-password-file", "other", "truncated.yml") == 1
    assert (folder / "truncated.yml").read_bytes() == before


def test_encrypt_and_decrypt_in_place(folder: Path) -> None:
    path = folder / "plain.yml"
    path.chmod(0o640)
    assert vault("encrypt", "--vault-password-file", "pw", "plain.yml") == 0
    assert SECRETS.decrypt(path.read_bytes()) == CLEAR
    assert path.read_text().startswith("$ANSIBLE_VAULT;1.1;AES256\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert vault("decrypt", "--vault-password-file", "pw", "plain.yml") == 0
    assert path.read_bytes() == CLEAR
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(folder.glob(".plain*"))


def test_an_empty_file_of_ansible_vault_decrypts(folder: Path) -> None:
    assert vault("decrypt", "--vault-password-file", "pw", "empty.txt") == 0
    assert (folder / "empty.txt").read_bytes() == b""


def test_what_is_encrypted_is_not_encrypted_again(capfd: pytest.CaptureFixture[str], folder: Path) -> None:
    before = (folder / "default.yml").read_bytes()
    assert vault("encrypt", "--vault-password-file", "pw", "default.yml") == 1
    assert "input is already encrypted" in capfd.readouterr().err
    assert (folder / "default.yml").read_bytes() == before


def test_output_leaves_the_source_alone(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert vault("encrypt", "--vault-id", "dev@pw", "--output", "new.yml", "plain.yml") == 0
    assert vault_id_of((folder / "new.yml").read_bytes()) == "dev"
    assert stat.S_IMODE((folder / "new.yml").stat().st_mode) == 0o600
    assert (folder / "plain.yml").read_bytes() == CLEAR
    assert vault("decrypt", "--vault-id", "pw", "--output", "-", "new.yml") == 0
    assert capfdbinary.readouterr().out == CLEAR
    assert vault("decrypt", "--vault-id", "pw", "--output", "x", "new.yml", "default.yml") == 5


def test_standard_input_is_encrypted_to_standard_output(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CLEAR)))
    assert vault("encrypt", "--vault-password-file", str(folder / "pw")) == 0
    text = capfdbinary.readouterr().out
    assert SECRETS.decrypt(text) == CLEAR
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert vault("decrypt", "--vault-password-file", str(folder / "pw"), "-") == 0
    assert capfdbinary.readouterr().out == CLEAR


def test_with_several_ids_one_has_to_be_chosen(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ids = ["--vault-id", "dev@pw", "--vault-id", "prod@other"]
    assert vault("encrypt", *ids, "plain.yml") == 5
    assert "The vault-ids dev,prod are available to encrypt" in capfd.readouterr().err
    assert vault("encrypt", *ids, "--encrypt-vault-id", "stage", "plain.yml") == 5
    assert "--encrypt-vault-id=stage in the known vault-ids [dev, prod]" in capfd.readouterr().err
    assert vault("encrypt", *ids, "--encrypt-vault-id", "prod", "plain.yml") == 0
    text = (folder / "plain.yml").read_bytes()
    assert vault_id_of(text) == "prod"
    assert VaultSecrets([VaultSecret("x", b"other")]).decrypt(text) == CLEAR


def test_rekey_changes_password_and_id(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = folder / "default.yml"
    path.chmod(0o644)
    assert vault("rekey", "--vault-password-file", "pw", "--new-vault-id", "prod@other", "default.yml") == 0
    assert capfd.readouterr().err == "Rekey successful\n"
    assert vault_id_of(path.read_bytes()) == "prod"
    assert VaultSecrets([VaultSecret("x", b"other")]).decrypt(path.read_bytes()) == CLEAR
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert vault("rekey", "--vault-id", "other", "--new-vault-password-file", "pw", "default.yml") == 0
    assert path.read_text().startswith("$ANSIBLE_VAULT;1.1;AES256\n")


def test_edit_keeps_id_mode_and_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(folder, monkeypatch, f'ls -ld "$1" "$(dirname "$1")" > {folder}/seen; echo more: 1 >> "$1"; cp "$1" "$1~"')
    path = folder / "with-id.yml"
    path.chmod(0o640)
    assert vault("edit", "--vault-id", "other", "--vault-id", "pw", "with-id.yml") == 0
    assert SECRETS.decrypt(path.read_bytes()) == CLEAR + b"more: 1\n"
    assert vault_id_of(path.read_bytes()) == "dev"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    seen = (folder / "seen").read_text().splitlines()
    assert [line.split()[0].rstrip(".+") for line in sorted(seen)] == ["-rw-------", "drwx------"]
    assert sorted(seen)[0].endswith(".yml")
    assert list((folder / "tmp").iterdir()) == []


def test_edit_through_a_link_changes_what_it_points_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(folder, monkeypatch, 'echo new > "$1"')
    (folder / "link").symlink_to("default.yml")
    assert vault("edit", "--vault-password-file", "pw", "link") == 0
    assert (folder / "link").is_symlink()
    assert SECRETS.decrypt((folder / "default.yml").read_bytes()) == b"new\n"


def test_an_edit_without_a_change_writes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(folder, monkeypatch, "true")
    before = (folder / "default.yml").read_bytes()
    assert vault("edit", "--vault-password-file", "pw", "default.yml") == 0
    assert (folder / "default.yml").read_bytes() == before


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('echo new > "$1"; exit 3', "the editor ended with 3: nothing was changed"),
        ('rm "$1"', "the editor left no file"),
        ('echo new > "$1"; kill -9 $$', "the editor ended with -9"),
    ],
)
def test_an_editor_that_fails_changes_nothing_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], body: str, message: str
) -> None:
    editor(folder, monkeypatch, body)
    before = (folder / "default.yml").read_bytes()
    assert vault("edit", "--vault-password-file", "pw", "default.yml") == 1
    assert message in capfd.readouterr().err
    assert (folder / "default.yml").read_bytes() == before
    assert list((folder / "tmp").iterdir()) == []


def test_an_editor_that_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDITOR", "no-such-editor -w")
    assert vault("edit", "--vault-password-file", "pw", "default.yml") == 1
    assert 'Unable to execute the command "no-such-editor -w ' in capfd.readouterr().err
    assert list((folder / "tmp").iterdir()) == []


def test_a_terminated_edit_leaves_no_plain_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(folder, monkeypatch, f"kill -TERM {os.getpid()}; sleep 0.2")
    with pytest.raises(SystemExit) as ended:
        vault("edit", "--vault-password-file", "pw", "default.yml")
    assert ended.value.code == 143
    assert list((folder / "tmp").iterdir()) == []


def test_create_writes_what_the_editor_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    editor(folder, monkeypatch, 'echo "a: 1" > "$1"')
    assert vault("create", "--vault-id", "dev@pw", "deep/er/new.yml") == 5
    assert "not a tty, editor cannot be opened" in capfd.readouterr().err
    words = ["create", "--skip-tty-check", "--vault-id", "dev@pw", "deep/er/new.yml"]
    assert vault(*words) == 0
    path = folder / "deep/er/new.yml"
    assert SECRETS.decrypt(path.read_bytes()) == b"a: 1\n"
    assert vault_id_of(path.read_bytes()) == "dev"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert vault(*words) == 1
    assert "exists, please use 'edit' instead" in capfd.readouterr().err


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("spelling", ["encrypt-string", "encrypt_string"])
def test_encrypt_string_makes_yaml(spelling: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert vault(spelling, "--vault-id", "dev@pw", "one two", "three", "-n", "a", "-n", "b") == 0
    captured = capfd.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "a: !vault |"
    assert lines[1] == "          $ANSIBLE_VAULT;1.2;AES256;dev"
    read = yaml.load(captured.out, Loader=_Loader)  # noqa: S506
    assert {name: SECRETS.decrypt(text) for name, text in read.items()} == {"a": b"one two", "b": b"three"}
    assert captured.err.splitlines() == [
        '# The encrypted version of variable ("a", the string #1 from the command line args).',
        '# The encrypted version of variable ("b", the string #2 from the command line args).',
    ]


class _Loader(yaml.SafeLoader):
    """Reads `!vault` as its text."""


def _text(loader: _Loader, node: yaml.Node) -> str:
    assert isinstance(node, yaml.ScalarNode)
    return str(loader.construct_scalar(node))


_Loader.add_constructor("!vault", _text)


def test_encrypt_string_of_standard_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hi")))
    assert vault("encrypt-string", "--vault-password-file", "pw", "--stdin-name", "zz", "--output", "out.yml") == 0
    assert SECRETS.decrypt(yaml.load((folder / "out.yml").read_text(), Loader=_Loader)["zz"]) == b"hi"  # noqa: S506
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert vault("encrypt-string", "--vault-password-file", "pw") == 5
    assert "stdin was empty, not encrypting" in capfd.readouterr().err


def test_encrypt_string_asks_twice(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    answers = iter(["abc", "abc", "abc", "abd"])
    monkeypatch.setattr("getpass.getpass", lambda _question: next(answers))
    monkeypatch.setattr("builtins.input", lambda _question: "name")
    assert vault("encrypt-string", "--vault-password-file", str(folder / "pw"), "-p") == 0
    assert SECRETS.decrypt(yaml.load(capfd.readouterr().out, Loader=_Loader)["name"]) == b"abc"  # noqa: S506
    assert vault("encrypt-string", "--vault-password-file", str(folder / "pw"), "-p") == 1
    assert "Provided plaintext values do not match" in capfd.readouterr().err


def test_a_new_password_is_typed_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def typed(question: str) -> str:
        asked.append(question)
        return "secret" if len(asked) < 4 else "secrets"

    assert vault_passwords.vault_secrets(["dev@prompt"], prompt=typed, create=True) is not None
    assert vault_passwords.vault_secrets(ask=True, prompt=typed) is not None
    with pytest.raises(PybibleError, match="Passwords do not match"):
        vault_passwords.vault_secrets(ask=True, prompt=lambda q: f"{typed(q)}{len(asked)}", create=True)
    assert asked == [
        "New vault password (dev): ",
        "Confirm new vault password (dev): ",
        "Vault password: ",
        "New Vault password: ",
        "Confirm New Vault password: ",
    ]


def test_without_options_the_environment_names_the_passwords(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("ANSIBLE_VAULT_IDENTITY_LIST", f"prod@{folder / 'other'}, dev@{folder / 'pw'}")
    assert vault("view", "with-id.yml", "other-password.yml") == 0
    assert capfdbinary.readouterr().out == CLEAR * 2


def test_a_pager_gets_the_text_on_a_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("PAGER", f"tee {folder}/paged")
    assert vault("view", "--vault-password-file", "pw", "default.yml") == 0
    assert (folder / "paged").read_bytes() == CLEAR
    capfdbinary.readouterr()
