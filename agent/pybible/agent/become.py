"""become: from whom a task is to run as, to the command that starts a worker for it."""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pybible.wire.tasks import Become

# Before the paths below which a worker may write.
WRITE_OPTION = "--write"
_WORKER = (sys.executable, "-P", "-m", "pybible.agent.worker")
_SUDO_FLAGS = "-H -S -n"
# More digits than the id of a user has.
_LONGEST_ID = 20


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """As whom a worker runs, and how it comes to be so. Tasks of equal identity share workers."""

    user: str = ""
    command: tuple[str, ...] = _WORKER
    # With what its processes can be signalled, when the agent itself may not.
    kill: tuple[str, ...] = ()


OWN = WorkerIdentity()


class BecomeError(Exception):
    """The way to another user that was asked for does not exist here."""


def identity_of(become: Become | None) -> WorkerIdentity:
    """Return the identity for a task. Root needs no program to become somebody; anybody else needs sudo."""
    if become is not None and "\0" in f"{become.user}{become.flags}{become.executable}":
        raise BecomeError("a null character is no part of a user's name or of a command")
    if become is None or _is_own(become.user):
        return OWN
    if os.geteuid() == 0:
        return WorkerIdentity(become.user, (*_WORKER, become.user))
    if become.method not in ("", "sudo"):
        raise BecomeError(
            f"this agent does not run as root and becomes other users by sudo; become_method {become.method!r} "
            "is not available"
        )
    try:
        flags = shlex.split(become.flags or _SUDO_FLAGS)
    except ValueError as error:
        raise BecomeError(f"become_flags {become.flags!r} can't be read: {error}") from error
    if "-n" not in flags and "--non-interactive" not in flags:
        flags.append("-n")
    sudo = (become.executable or "sudo", *flags, "-u", become.user)
    return WorkerIdentity(become.user, (*sudo, *_WORKER), (*sudo, "kill", "-KILL"))


def confined(identity: WorkerIdentity, writable: Sequence[str] | None) -> WorkerIdentity:
    """Return the same identity for a worker that writes below these paths only. None: wherever its user may."""
    if writable is None:
        return identity
    return replace(identity, command=(*identity.command, WRITE_OPTION, *writable))


def _is_own(user: str) -> bool:
    if not user:
        return True
    if user.isascii() and user.isdigit() and len(user) <= _LONGEST_ID:
        return int(user) == os.geteuid()
    try:
        return pwd.getpwnam(user).pw_uid == os.geteuid()
    except KeyError:
        return False
