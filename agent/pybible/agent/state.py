"""state: the folder in which an agent keeps who it is: agent.key, agent.crt, ca.crt, agent.json; and its last epoch."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pybible.wire.errors import ConfigError
from pybible.wire.values import dumps, loads_object

_FILES = ("agent.key", "agent.crt", "ca.crt", "agent.json")


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
    return (folder / "agent.json").exists()


def load_identity(folder: Path) -> AgentIdentity:
    """Read who this agent is. ConfigError when it was never enrolled, or its files can't be used."""
    if not is_enrolled(folder):
        raise ConfigError(
            f"this agent is not enrolled: there is no identity in {folder}",
            hint="Enrol it: pybible-agent join --controller HOST:PORT --token TOKEN",
        )
    try:
        key, certificate, authority, about = ((folder / name).read_bytes() for name in _FILES)
        found = loads_object(about)
        return AgentIdentity(
            id=str(found["id"]),
            name=str(found["name"]),
            controller=str(found["controller"]),
            key=key,
            certificate=certificate,
            authority=authority,
            renew_at=float(found.get("renew_at", 0)),
            expires=float(found.get("expires", 0)),
            proxy=str(found.get("proxy", "")),
        )
    except OSError as error:
        raise ConfigError(f"can't read {error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder / 'agent.json'} is damaged: {error}") from error


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
    contents = (identity.key, identity.certificate, identity.authority, dumps(about) + b"\n")
    try:
        for name, content in zip(_FILES, contents, strict=True):
            write_private(folder / name, content)
    except OSError as error:
        raise ConfigError(f"can't write to {folder}: {error.strerror}") from error


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o600)
        file.write(content)
        file.flush()
        os.fsync(handle)
    fresh.replace(path)


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
