"""enroll: how a host gets its identity, and keeps it."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

from pybible.agent import state
from pybible.agent.rekey import validity
from pybible.wire.enrolment import Enrolled, enrol, wait_to_be_enrolled
from pybible.wire.errors import ConfigError
from pybible.wire.identity import JoinToken, Role
from pybible.wire.keys import NewKey
from pybible.wire.private import read_private, write_private


def join(folder: Path, *, token: str, controller: str = "", name: str = "", proxy: str = "") -> state.AgentIdentity:
    """Enrol this host and write its identity to `folder`. `controller`: HOST:PORT instead of the token's address.

    `proxy`: the URL of an HTTP proxy on the way, kept with the identity for everything that is dialled later.
    """
    JoinToken.decode(token)
    _check_new(folder)
    # Before the token is used up.
    state.check_writable(folder)
    return _keep(folder, enrol(token, role=Role.AGENT, controller=controller, name=name, proxy=proxy), proxy=proxy)


def join_by_request(
    folder: Path, *, controller: str, pin: str, waits: Callable[[str], None], name: str = "", proxy: str = ""
) -> state.AgentIdentity:
    """Ask for enrolment without a token, and wait for an operator's decision. `waits` is told the key's fingerprint.

    The key is kept meanwhile: whoever starts again is known by it.
    """
    _check_new(folder)
    state.prepare(folder)
    kept = folder / "waiting.key"
    try:
        key = NewKey(read_private(kept) if kept.exists() else b"")
        write_private(kept, key.pem)
    except (OSError, ValueError) as error:
        raise ConfigError(f"can't use {kept}: {error}") from error
    enrolled = wait_to_be_enrolled(
        controller,
        pin=pin,
        key=key,
        name=name,
        proxy=proxy,
        facts={"os": _system(), "kernel": platform.release(), "architecture": platform.machine()},
        waits=lambda: waits(key.fingerprint),
    )
    identity = _keep(folder, enrolled, proxy=proxy)
    kept.unlink()
    return identity


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.system()


def _check_new(folder: Path) -> None:
    if state.is_enrolled(folder):
        known = state.load_identity(folder)
        raise ConfigError(
            f"this agent is enrolled already, as {known.name!r} with {known.controller}",
            hint=f"To enrol it anew, stop it and remove {folder}; for a second agent name another --state.",
        )


def _keep(folder: Path, enrolled: Enrolled, *, proxy: str) -> state.AgentIdentity:
    renew_at, expires = validity(enrolled.certificate)
    identity = state.AgentIdentity(
        id=enrolled.id,
        name=enrolled.name,
        controller=enrolled.controller,
        key=enrolled.key,
        certificate=enrolled.certificate,
        authority=enrolled.authority,
        renew_at=renew_at,
        expires=expires,
        proxy=proxy,
    )
    state.prepare(folder)
    state.save_identity(folder, identity)
    return identity
