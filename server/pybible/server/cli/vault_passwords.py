"""vault_passwords: --vault-id, --vault-password-file and -J to the secrets of a run."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pybible.server.engine.vault import VaultSecret, VaultSecrets
from pybible.wire.errors import PybibleError

_DEFAULT = "default"
_PROMPTS = frozenset({"prompt", "prompt_ask_vault_pass"})


def vault_secrets(
    ids: Sequence[str] = (),
    files: Sequence[str] = (),
    *,
    ask: bool = False,
    environment: Mapping[str, str] = os.environ,
    prompt: Callable[[str], str] = getpass.getpass,
) -> VaultSecrets | None:
    """Return the secrets in the order of the options, None without any. PybibleError for one that can't be had."""
    named = [_labelled(text) for text in ids]
    from_environment = environment.get("ANSIBLE_VAULT_PASSWORD_FILE", "")
    if not (ids or files or ask) and from_environment:
        files = (from_environment,)
    sources = [*named, *((_DEFAULT, file) for file in files)]
    if ask:
        sources.append((_DEFAULT, "prompt_ask_vault_pass"))
    if not sources:
        return None
    return VaultSecrets([VaultSecret(label, _password(label, source, prompt)) for label, source in sources])


def _labelled(text: str) -> tuple[str, str]:
    label, at, source = text.rpartition("@")
    return (label or _DEFAULT, source) if at else (_DEFAULT, text)


def _password(label: str, source: str, prompt: Callable[[str], str]) -> bytes:
    if source in _PROMPTS:
        text = "Vault password: " if label == _DEFAULT else f"Vault password ({label}): "
        password = prompt(text).strip().encode()
        if not password:
            raise PybibleError("Invalid vault password was provided")
        return password
    path = Path(source).expanduser().absolute()
    if not path.exists():
        raise PybibleError(f"The vault password file {path} was not found")
    password = _from_script(path, label) if os.access(path, os.X_OK) and path.is_file() else _from_file(path)
    if not password:
        raise PybibleError(f"Invalid vault password was provided from {path}")
    return password


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
        raise PybibleError(f"Vault password script {path} returned non-zero ({done.returncode})")
    return done.stdout.strip(b"\r\n")
