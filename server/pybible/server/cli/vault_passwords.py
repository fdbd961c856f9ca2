"""vault_passwords: --vault-id, --vault-password-file and -J to the secrets of a run."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from pybible.server.cli.ansible_config import AnsibleConfig
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.vault import VaultSecret, VaultSecrets
from pybible.wire.errors import PybibleError, UsageError

_DEFAULT = "default"
_PROMPTS = frozenset({"prompt", "prompt_ask_vault_pass"})


class _ScriptFailed(PybibleError):
    """A script that should print a password ended with another status than 0."""


def vault_secrets(
    ids: Sequence[str] = (),
    files: Sequence[str] = (),
    *,
    ask: bool = False,
    prompt: Callable[[str], str] = getpass.getpass,
    create: bool = False,
    warn: Callable[[str], None] | None = None,
) -> VaultSecrets | None:
    """Return the secrets in the order of the options, None without any. PybibleError for one that can't be had.

    `create`: they are going to encrypt, so what is typed is typed twice. With `warn` one that can't be had is a
    warning as long as there is another.
    """
    sources = [*map(_labelled, ids), *((_DEFAULT, file) for file in files)]
    if ask:
        sources.append((_DEFAULT, "prompt_ask_vault_pass"))
    if not sources:
        return None
    secrets: list[VaultSecret] = []
    missed: PybibleError | None = None
    for label, source in sources:
        try:
            secrets.append(VaultSecret(label, _password(label, source, prompt, create)))
        except PybibleError as error:
            if warn is None:
                raise
            missed = error
            what = (
                "in vault password file loading" if isinstance(error, _ScriptFailed) else "getting vault password file"
            )
            warn(f"Error {what} ({label}): {error.message}")
    if missed is not None and not secrets:
        raise missed
    return VaultSecrets(secrets)


def configured_secrets(
    config: AnsibleConfig,
    ids: Sequence[str] = (),
    files: Sequence[str] = (),
    *,
    ask: bool = False,
    create: bool = False,
    warn: Callable[[str], None] | None = None,
) -> VaultSecrets | None:
    """Return the secrets of the options and of ansible.cfg. Arguments and errors are vault_secrets'."""
    configured = config.text("DEFAULT_VAULT_PASSWORD_FILE")
    if configured and not (ids or files or ask):
        files = (configured,)
    ids = (*config.words("DEFAULT_VAULT_IDENTITY_LIST"), *ids)
    return vault_secrets(ids, files, ask=ask, create=create, warn=warn)


def _labelled(text: str) -> tuple[str, str]:
    label, at, source = text.rpartition("@")
    return (label or _DEFAULT, source) if at else (_DEFAULT, text)


def encryption_secret(secrets: VaultSecrets, wanted: str = "") -> VaultSecret:
    """Return the secret to encrypt with: the one with the id `wanted`, else the only one. UsageError for neither."""
    if wanted:
        for secret in secrets.secrets:
            if secret.id == wanted:
                return secret
        known = ", ".join(secret.id for secret in secrets.secrets)
        raise UsageError(f"Did not find a match for --encrypt-vault-id={wanted} in the known vault-ids [{known}]")
    ids = list(dict.fromkeys(secret.id for secret in secrets.secrets))
    if len(ids) > 1:
        named = ",".join(ids)
        raise UsageError(
            f"The vault-ids {named} are available to encrypt. Specify the vault-id to encrypt with --encrypt-vault-id"
        )
    return secrets.secrets[0]


def _password(label: str, source: str, prompt: Callable[[str], str], create: bool) -> bytes:
    if source in _PROMPTS:
        return _typed(label, prompt, create)
    path = expanded(source).absolute()
    if not path.exists():
        raise PybibleError(f"The vault password file {path} was not found")
    password = _from_script(path, label) if os.access(path, os.X_OK) and path.is_file() else _from_file(path)
    if not password:
        raise PybibleError(f"Invalid vault password was provided from {path}")
    return password


def _typed(label: str, prompt: Callable[[str], str], create: bool) -> bytes:
    named = f"vault password ({label}): " if label != _DEFAULT else "Vault password: "
    try:
        password = prompt(f"New {named}" if create else named[0].upper() + named[1:]).strip()
        if not password:
            raise PybibleError("Invalid vault password was provided")
        if create and prompt(f"Confirm {'new' if label != _DEFAULT else 'New'} {named}").strip() != password:
            raise PybibleError("Passwords do not match")
    except EOFError:
        raise PybibleError(f"EOFError (ctrl-d) on prompt for ({label})") from None
    return password.encode()


def _from_file(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise PybibleError(f"Could not read vault password file {path}: {error.strerror}") from error


def _from_script(path: Path, label: str) -> bytes:
    command = [str(path)]
    # A script whose name says so serves several ids and wants to know which.
    if path.stem.endswith("-client"):
        command += ["--vault-id", label]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    except OSError as error:
        raise PybibleError(
            f"Problem running vault password script {path} ({error.strerror}).",
            hint="If this is not a script, remove the executable bit from the file.",
        ) from error
    if done.returncode:
        # As ansible-core, which has nothing to say of what the script printed: it was on the screen.
        raise _ScriptFailed(f"Vault password script {path} returned non-zero ({done.returncode}): None")
    return done.stdout.strip(b"\r\n")
