"""fleet_list: agents as messages: all that is known of one, and pages of many, from memory.

A list of ten thousand must not hold up the loop: of each agent the message is kept, and only what has changed in it is
written again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from pybible.server.controller.blobs.traffic import Traffic
from pybible.server.controller.pki.allowed import AllowedCertificates
from pybible.server.controller.sessions.instructions import SessionState
from pybible.server.controller.sessions.presence import AgentPresence
from pybible.server.controller.sessions.refusal import AgentDetails
from pybible.server.controller.store.agents import AgentRecord
from pybible.server.controller.store.directory import AgentDirectory
from pybible.v1 import fleet_pb2
from pybible.wire.identity import Identity, Role

# A page ends with the agent that takes it over this; the wire takes 4 MiB.
PAGE_BYTES = 1024 * 1024
_STATES = {state: fleet_pb2.SessionState.Value(f"SESSION_STATE_{state.name}") for state in SessionState}


class Presence(Protocol):
    """Who is attached now."""

    def find(self, name_or_id: str) -> AgentPresence | None:
        """Return an agent, None for one that was never attached since the controller started."""


# What changes from moment to moment, and not all of an agent with it: state, since when, tasks, load, when the
# certificate expires, contents and bytes that went out. Without a presence the first four are None.
_Moving = tuple[SessionState | None, float | None, int | None, float | None, float | None, int, int]


@dataclass(slots=True)
class _Kept:
    """A message, what it was made of, what of it changes, and its bytes as an element of a list."""

    record: AgentRecord
    details: AgentDetails | None
    identity: Identity
    message: fleet_pb2.Agent
    moving: _Moving | None = None
    wire: bytes = b""


class AgentList:
    """Makes the messages. One instance serves every port."""

    def __init__(
        self, *, directory: AgentDirectory, presence: Presence, allowed: AllowedCertificates, traffic: Traffic
    ) -> None:
        self._directory = directory
        self._presence = presence
        self._allowed = allowed
        self._traffic = traffic
        self._kept: dict[str, _Kept] = {}

    def page(self, after: str) -> fleet_pb2.ListAgentsResponse:
        """Return the agents whose names come after `after`, as many as fit, without their modules and policies."""
        parts: list[bytes] = []
        left = PAGE_BYTES
        last, more = "", False
        for record in self._directory.after(after):
            if left <= 0:
                more = True
                break
            wire = self._current(record).wire
            parts.append(wire)
            left -= len(wire)
            last = record.name
        # A list of messages would be copied, one by one.
        answer = fleet_pb2.ListAgentsResponse.FromString(b"".join(parts))
        if more:
            answer.next = last
        return answer

    def one(self, record: AgentRecord) -> fleet_pb2.Agent:
        """Return all of one agent."""
        message = fleet_pb2.Agent()
        message.CopyFrom(self._current(record).message)
        presence = self._presence.find(record.agent_id)
        if presence is not None:
            message.modules.extend(presence.details.modules)
            message.policy.extend(presence.details.policy)
        return message

    def _current(self, record: AgentRecord) -> _Kept:
        presence = self._presence.find(record.agent_id)
        details = presence.details if presence is not None else None
        kept = self._kept.get(record.agent_id)
        if kept is None or kept.record is not record or kept.details is not details:
            kept = self._made(record, details)
        expires = self._allowed.expiry(kept.identity)
        sent = self._traffic.of(record.agent_id)
        moving: _Moving
        if presence is not None:
            machine = presence.machine
            tasks = len(machine.out)
            moving = (machine.state, presence.since, tasks, presence.load, expires, sent.contents, sent.bytes)
        else:
            moving = (None, None, None, None, expires, sent.contents, sent.bytes)
        # Writing what is there already costs many times as much as looking.
        if kept.moving != moving:
            _write(kept, moving)
        return kept

    def _made(self, record: AgentRecord, details: AgentDetails | None) -> _Kept:
        """Make a message of what seldom changes, and forget those of agents that are gone."""
        message = fleet_pb2.Agent(
            agent_id=record.agent_id,
            name=record.name,
            hostname=record.hostname,
            state=fleet_pb2.SESSION_STATE_OFFLINE,
            version=record.version,
            labels=record.labels,
            epoch=record.epoch,
        )
        _set(message.enrolled, record.enrolled)
        if record.last_seen is not None:
            _set(message.since, record.last_seen)
        presence = self._presence.find(record.agent_id)
        if details is not None and presence is not None:
            message.address = details.address
            message.boot_id = details.boot_id
            message.incarnation = presence.machine.incarnation
            message.slots = presence.machine.slots
        if len(self._kept) > 2 * len(self._directory):
            self._kept.clear()
        identity = Identity(Role.AGENT, record.agent_id)
        kept = _Kept(record, details, identity, message)
        self._kept[record.agent_id] = kept
        return kept


def _write(kept: _Kept, moving: _Moving) -> None:
    """Put into a message what has changed in it."""
    state, since, tasks, load, expires, contents, content_bytes = kept.moving = moving
    message = kept.message
    if state is not None and since is not None:
        message.state = _STATES[state]
        _set(message.since, since)
        message.running = tasks or 0
        message.load = load or 0.0
    message.ClearField("certificate_expires")
    if expires is not None:
        _set(message.certificate_expires, expires)
    message.contents_sent, message.content_bytes_sent = contents, content_bytes
    kept.wire = fleet_pb2.ListAgentsResponse(agents=[message]).SerializeToString()


def _set(stamp: Timestamp, seconds: float) -> None:
    """Write seconds since the epoch, to the microsecond."""
    stamp.seconds = whole = int(seconds)
    stamp.nanos = int((seconds - whole) * 1_000_000) * 1000
