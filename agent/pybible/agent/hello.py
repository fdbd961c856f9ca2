"""hello: the first message of a session: who runs here, and what is unfinished."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.agent.journal import EntryState
from pybible.agent.modules import registry
from pybible.v1 import agent_pb2
from pybible.wire.protocol import PROTOCOL_MAX, PROTOCOL_MIN, package_version

if TYPE_CHECKING:
    from pybible.agent.stream import Session

_STATES = {
    EntryState.RUNNING: agent_pb2.JournalEntry.STATE_RUNNING,
    EntryState.FINISHED: agent_pb2.JournalEntry.STATE_FINISHED,
    EntryState.INTERRUPTED: agent_pb2.JournalEntry.STATE_INTERRUPTED,
}


def hello(session: Session) -> agent_pb2.AgentMessage:
    """Return the Hello of the next session."""
    attempts = session.attempts
    return agent_pb2.AgentMessage(
        hello=agent_pb2.Hello(
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            version=package_version(),
            incarnation=session.incarnation,
            boot_id=_boot_id(),
            last_epoch=session.last_epoch,
            modules=registry.NAMES,
            slots=session.slots,
            policy=attempts.policy.summary(),
            hostname=socket.gethostname(),
            journal=[
                agent_pb2.JournalEntry(
                    attempt_id=attempt_id, state=_STATES[entry.state], offset=attempts.offset(attempt_id)
                )
                for attempt_id, entry in attempts.journal.open_entries()
            ],
        )
    )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
