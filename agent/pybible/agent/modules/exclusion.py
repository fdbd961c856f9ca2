"""exclusion: what may run only once at a time on a host waits here, whichever worker runs it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

_FOLDERS = ("/run/lock", "/run", "/tmp")  # noqa: S108  the last resort, and the name tells nobody anything


@contextlib.contextmanager
def alone(what: str) -> Iterator[None]:
    """Hold the host's lock of that name. What fails to make one goes on without: the host's tools have their own."""
    file = _open(f"pybible-{what}.lock")
    if file is None:
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _open(name: str) -> int | None:
    for folder in _FOLDERS:
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.suppress(OSError):
            return os.open(f"{folder}/{name}", flags, 0o600)
    return None
