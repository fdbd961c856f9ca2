"""state: the controller's folder. Its owner's alone, and one controller's at a time."""

from __future__ import annotations

import fcntl
import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pybible.wire.errors import ConfigError


@contextmanager
def locked_state(folder: Path) -> Iterator[None]:
    """Create the folder if need be and hold it while the block runs. ConfigError when it can't be had."""
    try:
        _prepare(folder)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"the state folder {folder} can't be used: {error.strerror}") from error
    try:
        try:
            # Given up by the kernel when this process ends, however it ends.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"the state folder {folder} is in use by another controller",
                hint="Stop that one, or give this one a folder of its own with --state.",
            ) from error
        yield
    finally:
        os.close(descriptor)


def _prepare(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise ConfigError(f"the state folder {folder} belongs to another user (uid {found.st_uid})")
    if stat.S_IMODE(found.st_mode) & 0o077 == 0:
        return
    if any(folder.iterdir()):
        raise ConfigError(
            f"the state folder {folder} is open to others (mode {stat.S_IMODE(found.st_mode):04o})",
            hint=f"It holds the keys of the fleet: chmod 700 {folder}",
        )
    folder.chmod(0o700)


def prepare_socket(path: Path, *, group: str = "") -> None:
    """Make room for the operators' socket at `path`. ConfigError when the place is not safe, or in use."""
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True)
            if group:
                _give(path.parent, group, mode=0o750)
        mode = stat.S_IMODE(path.parent.stat().st_mode)
        if mode & 0o022:
            raise ConfigError(
                f"others may write to {path.parent} (mode {mode:04o}): no place for the operators' socket",
                hint="Whoever can open it commands the fleet. Put it into a folder of its own, of mode 0700.",
            )
        if not path.exists():
            return
        if not path.is_socket():
            raise ConfigError(f"{path} is there already, and is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise ConfigError(f"another process listens on {path}")
    except OSError as error:
        raise ConfigError(f"the socket {path} can't be used: {error.strerror}") from error


def share_socket(path: Path, group: str) -> None:
    """Let the owner of a socket, and the group if one is named, open it. ConfigError when that can't be."""
    if group:
        _give(path, group, mode=0o660)
    else:
        path.chmod(0o600)


def _give(path: Path, group: str, *, mode: int) -> None:
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError(f"socket_group: there is no group {group!r}") from None
    try:
        # A process that may call no chown is well off with a folder, or a group of its own, that has it already.
        if path.stat().st_gid != gid:
            os.chown(path, -1, gid)
    except PermissionError as error:
        raise ConfigError(
            f"socket_group: {path} can't be given to the group {group!r}: {error.strerror}",
            hint="The controller's user must be in that group.",
        ) from error
    path.chmod(mode)
