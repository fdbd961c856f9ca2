"""private: files with keys in them, which both ends keep: for the eyes of the one account that uses them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pybible.wire.errors import ConfigError


def read_private(path: Path) -> bytes:
    """Read a file that holds a key. ConfigError unless it is this account's and nobody else may open it.

    OSError when it can't be read at all.
    """
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        if found.st_uid != os.geteuid():
            raise ConfigError(
                f"{path} belongs to another user (uid {found.st_uid}, this is uid {os.geteuid()})",
                hint=f"If it is this one's, as after a restore: chown {os.geteuid()} {path}",
            )
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o177:
            raise ConfigError(
                f"{path} holds a key and is not its owner's alone (mode {mode:04o})",
                hint=f"If nobody else has read it: chmod 600 {path}",
            )
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may open, whole or not at all."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        # Whatever the umask left of it.
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)
