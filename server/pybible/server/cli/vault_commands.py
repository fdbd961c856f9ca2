"""vault_commands: what `vault create|edit|view|encrypt|decrypt|rekey` do, in ansible-vault's words."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pybible.server.cli.settings import load_settings
from pybible.server.cli.vault import PasswordsAsked
from pybible.server.cli.vault_files import edited, read_file, replace_file
from pybible.server.cli.vault_passwords import configured_secrets, encryption_secret, vault_secrets
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.vault import VaultSecret, VaultSecrets, is_vaulted, vault_id_of
from pybible.wire.errors import PybibleError, UsageError, VaultError

STANDARD = "-"
_DEFAULT = "default"


def secrets_for(asked: PasswordsAsked, *, create: bool = False) -> VaultSecrets:
    """Return the secrets that were named; without any one is asked for. Raises PybibleError."""
    found = configured_secrets(load_settings().ansible, asked.ids, asked.files, ask=asked.ask, create=create)
    return found or vault_secrets(ask=True, create=create) or VaultSecrets()


def encrypting(asked: PasswordsAsked, encrypt_id: str) -> tuple[VaultSecrets, VaultSecret]:
    """Return the secrets, and among them the one to encrypt with. Raises PybibleError."""
    secrets = secrets_for(asked, create=True)
    configured = load_settings().ansible.text("DEFAULT_VAULT_ENCRYPT_IDENTITY")
    return secrets, encryption_secret(secrets, encrypt_id or configured)


def create(files: Sequence[str], asked: PasswordsAsked, *, encrypt_id: str, without_terminal: bool) -> None:
    """Write a new file in the editor."""
    if len(files) != 1:
        raise UsageError("vault create can take only one filename argument")
    if not (sys.stdout.isatty() or without_terminal):
        raise UsageError("not a tty, editor cannot be opened", hint="--skip-tty-check opens it all the same.")
    path = expanded(files[0])
    secrets, secret = encrypting(asked, encrypt_id)
    if path.exists():
        raise PybibleError(f"{path} exists, please use 'edit' instead")
    if not path.parent.exists():
        say(f"[WARNING]: {path.parent} does not exist, creating...")
        path.parent.mkdir(mode=0o700, parents=True)
    clear = edited(b"", suffix=path.suffix)
    replace_file(str(path), secrets.seal(clear, secret, vault_id=secret.id).encode())


def edit(files: Sequence[str], asked: PasswordsAsked, *, encrypt_id: str) -> None:
    """Change files in the editor. A file keeps its password and id unless another id was asked for."""
    if not files:
        raise UsageError("vault edit needs a file")
    secrets = secrets_for(asked)
    chosen = encryption_secret(secrets, encrypt_id) if encrypt_id else None
    for name in files:
        text = read_file(name)
        clear, opened_by = _open(secrets, text, name)
        changed = edited(clear, suffix=Path(name).suffix)
        if changed == clear:
            continue
        secret, vault_id = (chosen, chosen.id) if chosen else (opened_by, vault_id_of(text))
        replace_file(name, secrets.seal(changed, secret, vault_id=vault_id).encode())


def view(files: Sequence[str], asked: PasswordsAsked) -> None:
    """Show files, in a pager on a terminal."""
    secrets = secrets_for(asked)
    for name in files or (STANDARD,):
        clear, _secret = _open(secrets, _read(name, "ciphertext"), name)
        _page(clear)


def encrypt(files: Sequence[str], asked: PasswordsAsked, *, output: str, encrypt_id: str) -> None:
    """Encrypt in place, or to `output`."""
    names = _sources(files, output)
    secrets, secret = encrypting(asked, encrypt_id)
    for name in names:
        clear = _read(name, "plaintext")
        if is_vaulted(clear):
            raise PybibleError(
                f"input is already encrypted: {name}" if name != STANDARD else "input is already encrypted"
            )
        write(output or name, secrets.seal(clear, secret, vault_id=secret.id).encode())
    done("Encryption successful")


def decrypt(files: Sequence[str], asked: PasswordsAsked, *, output: str) -> None:
    """Decrypt in place, or to `output`."""
    names = _sources(files, output)
    secrets = secrets_for(asked)
    for name in names:
        clear, _secret = _open(secrets, _read(name, "ciphertext"), name)
        write(output or name, clear, plain=True)
    done("Decryption successful")


def rekey(files: Sequence[str], asked: PasswordsAsked, *, encrypt_id: str, new_id: str, new_file: str) -> None:
    """Encrypt files anew with another password."""
    if new_id and new_file:
        raise UsageError("--new-vault-id and --new-vault-password-file exclude each other")
    if not files:
        raise UsageError("vault rekey needs a file")
    secrets = secrets_for(asked)
    opened = [(name, _open(secrets, read_file(name), name)[0]) for name in files]
    ids = (new_id,) if new_id else ()
    fresh = vault_secrets(ids, (new_file,) if new_file else (), ask=not (new_id or new_file), create=True)
    if fresh is None:
        raise UsageError("A new vault password is required to use vault rekey")
    secret = encryption_secret(fresh, encrypt_id)
    for name, clear in opened:
        replace_file(name, fresh.seal(clear, secret, vault_id=secret.id).encode())
    say("Rekey successful")


def write(name: str, content: bytes, *, plain: bool = False) -> None:
    """Write to a file, or to standard output."""
    if name == STANDARD:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        replace_file(name, content, plain=plain)


def say(text: str) -> None:
    """Tell the operator something that is no result."""
    click.echo(text, err=True)


def done(text: str) -> None:
    """Say that all went well, to somebody who looks on."""
    if sys.stdout.isatty():
        say(text)


def _sources(files: Sequence[str], output: str) -> Sequence[str]:
    if output and len(files) > 1:
        raise UsageError("At most one input file may be used with the --output option")
    return files or (STANDARD,)


def _read(name: str, what: str) -> bytes:
    if name != STANDARD:
        return read_file(name)
    if sys.stdin.isatty():
        say(f"Reading {what} input from stdin")
    return sys.stdin.buffer.read()


def _open(secrets: VaultSecrets, text: bytes, name: str) -> tuple[bytes, VaultSecret]:
    try:
        return secrets.open(text)
    except VaultError as error:
        where = "standard input" if name == STANDARD else name
        raise PybibleError(f"{error.message.rstrip('.')}: {where}") from error


def _page(clear: bytes) -> None:
    pager = shlex.split(os.environ.get("ANSIBLE_PAGER") or os.environ.get("PAGER") or "less")
    if sys.stdout.isatty() and pager:
        # By a pipe: nothing of it reaches a disk. -F: what fits on the screen needs no pager.
        environment = {"LESS": "FRSX", **os.environ}
        try:
            subprocess.run(pager, input=clear, env=environment, check=False)
        except FileNotFoundError:
            write(STANDARD, clear)
    else:
        write(STANDARD, clear)
