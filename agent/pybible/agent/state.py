"""state: the folder in which an agent keeps who it is: agent.pem, ca.crt, agent.json; and its last epoch.

`agent.pem` is the key and its certificate, with the chain, in one file: a renewal changes both or neither.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pybible.wire.errors import ConfigError
from pybible.wire.private import read_private, write_private
from pybible.wire.values import dumps, loads_object

_PAIR, _AUTHORITY, _ABOUT = "agent.pem", "ca.crt", "agent.json"
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentIdentity:
    """Who this agent is, PEM where it is a key or a certificate, and where its controller was (HOST:PORT).

    `renew_at` and `expires` are about the certificate, in seconds since the epoch; 0: not known.
    """

    id: str
    name: str
    controller: str
    key: bytes
    certificate: bytes
    authority: bytes
    renew_at: float = 0.0
    expires: float = 0.0
    # Through which it enrolled, empty for none. The setting `proxy` wins.
    proxy: str = ""


def prepare(folder: Path) -> None:
    """Make the folder, for its owner alone. ConfigError when that can't be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"can't use the state folder {folder}: {error.strerror}") from error


def check_writable(folder: Path) -> None:
    """Raise ConfigError when the folder could not be made or written, without making it."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"can't use the state folder {folder}: {existing} can't be written")


def is_enrolled(folder: Path) -> bool:
    """Tell whether there is an identity already."""
    return (folder / _ABOUT).exists()


def load_identity(folder: Path) -> AgentIdentity:
    """Read who this agent is. ConfigError when it was never enrolled, or its files can't be used."""
    if not is_enrolled(folder):
        raise ConfigError(
            f"this agent is not enrolled: there is no identity in {folder}",
            hint="Enrol it: pybible-agent join --controller HOST:PORT --token TOKEN",
        )
    try:
        key, begins, certificate = read_private(folder / _PAIR).partition(_CERTIFICATE)
        found = loads_object((folder / _ABOUT).read_bytes())
        return AgentIdentity(
            id=str(found["id"]),
            name=str(found["name"]),
            controller=str(found["controller"]),
            key=key,
            certificate=begins + certificate,
            authority=(folder / _AUTHORITY).read_bytes(),
            renew_at=float(found.get("renew_at", 0)),
            expires=float(found.get("expires", 0)),
            proxy=str(found.get("proxy", "")),
        )
    except OSError as error:
        raise ConfigError(f"can't read {error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / _ABOUT} is damaged: {error}") from error


def save_identity(folder: Path, identity: AgentIdentity) -> None:
    """Write who this agent is; agent.json last, because it is what makes the agent enrolled."""
    about = {
        "id": identity.id,
        "name": identity.name,
        "controller": identity.controller,
        "renew_at": identity.renew_at,
        "expires": identity.expires,
        "proxy": identity.proxy,
    }
    try:
        write_private(folder / _PAIR, identity.key + identity.certificate)
        write_private(folder / _AUTHORITY, identity.authority)
        write_private(folder / _ABOUT, dumps(about) + b"\n")
    except OSError as error:
        raise ConfigError(f"can't write to {folder}: {error.strerror}") from error


def load_epoch(folder: Path) -> int:
    """Return the epoch of the last session, 0 when there was none that is known."""
    try:
        return int((folder / "epoch").read_text())
    except (OSError, ValueError):
        return 0


def save_epoch(folder: Path, epoch: int) -> None:
    """Note the epoch of a session."""
    fresh = folder / "epoch.new"
    fresh.write_text(f"{epoch}\n")
    fresh.replace(folder / "epoch")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other agent off the folder. ConfigError when one is there."""
    path = folder / "lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"can't use the state folder {folder}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(handle, 32).decode("ascii", "replace").strip() or "?"
            raise ConfigError(f"another pybible-agent (pid {pid}) uses {folder}") from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)
