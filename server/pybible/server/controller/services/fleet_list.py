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
# More than all that changes in a message from moment to moment.
_CHANGING_BYTES = 100
_STATES = {state: fleet_pb2.SessionState.Value(f"SESSION_STATE_{state.name}") for state in SessionState}


class Presence(Protocol):
    """Who is attached now."""

    def find(self, name_or_id: str) -> AgentPresence | None:
        """Return an agent, None for one that was never attached since the controller started."""


@dataclass(slots=True)
class _Kept:
    """A message, what it was made of, and about how many bytes it takes."""

    record: AgentRecord
    details: AgentDetails | None
    identity: Identity
    message: fleet_pb2.Agent
    size: int
    # What was written into it last of what changes from moment to moment.
    state: SessionState | None = None
    since: float = 0.0
    expires: float | None = None
    contents: int = 0


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
        agents = []
        left = PAGE_BYTES
        more = False
        for record in self._directory.after(after):
            if left <= 0:
                more = True
                break
            kept = self._current(record)
            agents.append(kept.message)
            left -= kept.size
        return fleet_pb2.ListAgentsResponse(agents=agents, next=agents[-1].name if more else "")

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
        message = kept.message
        if presence is not None:
            machine = presence.machine
            # Writing what is there already costs several times as much as looking.
            if kept.state is not machine.state or kept.since != presence.since:
                kept.state, kept.since = machine.state, presence.since
                message.state = _STATES[machine.state]
                _set(message.since, presence.since)
            message.running = len(machine.out)
            message.load = presence.load
        expires = self._allowed.expiry(kept.identity)
        if expires != kept.expires:
            kept.expires = expires
            message.ClearField("certificate_expires")
            if expires is not None:
                _set(message.certificate_expires, expires)
        sent = self._traffic.of(record.agent_id)
        if sent.contents != kept.contents or sent.bytes != message.content_bytes_sent:
            kept.contents = sent.contents
            message.contents_sent, message.content_bytes_sent = sent.contents, sent.bytes
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
        kept = _Kept(record, details, identity, message, message.ByteSize() + _CHANGING_BYTES)
        self._kept[record.agent_id] = kept
        return kept


def _set(stamp: Timestamp, seconds: float) -> None:
    """Write seconds since the epoch, to the microsecond."""
    stamp.seconds = whole = int(seconds)
    stamp.nanos = int((seconds - whole) * 1_000_000) * 1000
