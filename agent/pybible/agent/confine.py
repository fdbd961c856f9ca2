"""confine: lets this process, and all that it starts, write below certain paths only: the kernel sees to it (Landlock).

The numbers are those of linux/landlock.h; see the kernel's own documentation, userspace-api/landlock.
"""

from __future__ import annotations

import ctypes
import os
import struct
import tempfile
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38
_WRITE_FILE = 1 << 1
# Removing and making of everything that a folder can hold.
_FOLDERS = sum(1 << bit for bit in range(4, 13))
# By the version of Landlock that brought them: moving between folders, and truncating.
_LATER = {2: 1 << 13, 3: 1 << 14}
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


class ConfineError(OSError):
    """This host can't do it. `str()` says why."""


def version() -> int:
    """Return the version of Landlock that this kernel has, -1 for none."""
    found: int = ctypes.CDLL(None, use_errno=True).syscall(_CREATE_RULESET, None, 0, _VERSION)
    return found


def confine_writes(paths: Iterable[str]) -> None:
    """Allow writing below `paths`, in the folder for temporary files and to a few devices, for good."""
    library = ctypes.CDLL(None, use_errno=True)
    known = version()
    if known < 1:
        raise ConfineError(f"this host's kernel has no Landlock: {os.strerror(ctypes.get_errno())}")
    rights = _WRITE_FILE | _FOLDERS | sum(right for since, right in _LATER.items() if known >= since)
    handled = struct.pack("Q", rights)
    ruleset = _checked(library.syscall(_CREATE_RULESET, handled, len(handled), 0))
    try:
        for path in (*paths, tempfile.gettempdir(), *_DEVICES):
            _allow(library, ruleset, path, rights)
        # Root may do without; anybody else has to give up set-user-id programs.
        if os.geteuid() != 0:
            _checked(library.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(library.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(library: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # What is not there can't be written to; nor can it be made, as that takes a path above it.
        return
    try:
        if not os.path.isdir(path):  # noqa: PTH112  pathlib costs every start of a worker
            rights &= _WRITE_FILE | _LATER[3]
        rule = struct.pack("=Qi", rights, descriptor)
        _checked(library.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _checked(answer: int) -> int:
    if answer < 0:
        raise ConfineError(f"writing can't be confined: {os.strerror(ctypes.get_errno())}")
    return answer
