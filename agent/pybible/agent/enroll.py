"""enroll: how a host gets its identity, and keeps it."""

from __future__ import annotations

from pathlib import Path

from pybible.agent import state
from pybible.agent.renew import validity
from pybible.wire.enrolment import enrol
from pybible.wire.errors import ConfigError
from pybible.wire.identity import JoinToken, Role


def join(folder: Path, *, token: str, controller: str = "", name: str = "", proxy: str = "") -> state.AgentIdentity:
    """Enrol this host and write its identity to `folder`. `controller`: HOST:PORT instead of the token's address.

    `proxy`: the URL of an HTTP proxy on the way, kept with the identity for everything that is dialled later.
    """
    JoinToken.decode(token)
    if state.is_enrolled(folder):
        known = state.load_identity(folder)
        raise ConfigError(
            f"this agent is enrolled already, as {known.name!r} with {known.controller}",
            hint=f"To enrol it anew, stop it and remove {folder}; for a second agent name another --state.",
        )
    # Before the token is used up.
    state.check_writable(folder)
    enrolled = enrol(token, role=Role.AGENT, controller=controller, name=name, proxy=proxy)
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
