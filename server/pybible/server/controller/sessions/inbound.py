"""inbound: what an agent says, checked and cut to size. Nothing an agent sends is believed before it was here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pybible.server.controller.requests import readable
from pybible.server.controller.sessions.attempts import Attempt, Verdict, failure, unreachable
from pybible.server.controller.sessions.instructions import JournalState, Opening
from pybible.server.controller.sessions.settings import (
    JOURNAL_ENTRIES,
    MESSAGE_LENGTH,
    MODULES,
    OUTPUT_BYTES_A_SECOND,
    POLICY_LENGTH,
    POLICY_LINES,
    SLOTS,
    TEXT_LENGTH,
)
from pybible.v1 import agent_pb2
from pybible.wire.channel import INLINE_RESULT_BYTES, OUTPUT_CHUNK_BYTES, RESULT_BYTES
from pybible.wire.errors import ProtocolError
from pybible.wire.outcomes import Reason
from pybible.wire.protocol import PROTOCOL_MAX, PROTOCOL_MIN

_JOURNAL_STATES = {
    agent_pb2.JournalEntry.STATE_RUNNING: JournalState.RUNNING,
    agent_pb2.JournalEntry.STATE_FINISHED: JournalState.FINISHED,
    agent_pb2.JournalEntry.STATE_INTERRUPTED: JournalState.INTERRUPTED,
}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REASONS = frozenset(str(reason) for reason in Reason)
_WORDS = {
    agent_pb2.Rejected.REASON_STALE_EPOCH: "the dispatch belongs to an earlier session",
    agent_pb2.Rejected.REASON_BUSY: "no free slot, and its queue is full",
    agent_pb2.Rejected.REASON_INVALID: "the task can't be understood",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """A Hello that is in bounds."""

    opening: Opening
    protocol: int
    version: str
    boot_id: str
    hostname: str
    modules: tuple[str, ...]
    policy: tuple[str, ...]


class NoCommonProtocol(ProtocolError):
    """The two ends have no version of the protocol in common."""


def received(message: object) -> agent_pb2.AgentMessage | None:
    """Return what a read gave, None for the end of the stream (grpc gives an object of its own).

    ProtocolError when it was no message.
    """
    readable(message)
    return message if isinstance(message, agent_pb2.AgentMessage) else None


def read_hello(message: agent_pb2.AgentMessage) -> Greeting:
    """Return what a Hello says. ProtocolError when it is none, or out of bounds."""
    if message.WhichOneof("message") != "hello":
        raise ProtocolError("the first message was not a Hello")
    hello = message.hello
    protocol = min(hello.protocol_max, PROTOCOL_MAX)
    if protocol < max(hello.protocol_min, PROTOCOL_MIN):
        raise NoCommonProtocol(
            f"the agent speaks protocol {hello.protocol_min} to {hello.protocol_max}, "
            f"this controller {PROTOCOL_MIN} to {PROTOCOL_MAX}"
        )
    texts = (hello.version, hello.incarnation, hello.boot_id, hello.hostname)
    if not hello.incarnation or any(len(text) > TEXT_LENGTH for text in texts):
        raise ProtocolError("the Hello holds an empty incarnation or a text that is too long")
    if len(hello.journal) > JOURNAL_ENTRIES or len(hello.modules) > MODULES:
        raise ProtocolError(f"the Hello lists {len(hello.journal)} attempts and {len(hello.modules)} modules")
    if any(len(name) > TEXT_LENGTH for name in hello.modules):
        raise ProtocolError("the Hello names a module with too long a name")
    return Greeting(
        opening=Opening(hello.incarnation, min(hello.slots, SLOTS), _journal(hello)),
        protocol=protocol,
        version=hello.version,
        boot_id=hello.boot_id,
        hostname=hello.hostname,
        modules=tuple(hello.modules),
        policy=tuple(line[:POLICY_LENGTH] for line in hello.policy[:POLICY_LINES]),
    )


def _journal(hello: agent_pb2.Hello) -> tuple[tuple[str, JournalState], ...]:
    entries = []
    for entry in hello.journal:
        state = _JOURNAL_STATES.get(entry.state)
        if state is None or not 0 < len(entry.attempt_id) <= TEXT_LENGTH:
            raise ProtocolError("the Hello holds a journal entry that is none")
        entries.append((entry.attempt_id, state))
    return tuple(entries)


def read_result(result: agent_pb2.Result) -> Verdict:
    """Return the verdict in a result. One that is out of bounds is that host's failure."""
    reason = result.reason
    if reason and reason not in _REASONS:
        reason = str(Reason.BAD_RESULT)
    match result.WhichOneof("content"):
        case "inline" if len(result.inline) <= 2 * INLINE_RESULT_BYTES:
            return Verdict(content=result.inline, reason=reason)
        case "blob" if _SHA256.fullmatch(result.blob.sha256) and result.blob.size <= RESULT_BYTES:
            return Verdict(content=result.blob, reason=reason)
        case None:
            return failure(Reason.BAD_RESULT, "the agent sent a result without content")
        case _:
            return failure(Reason.RESULT_TOO_LARGE, "the agent sent a result that is too large or has no valid name")


def read_rejected(attempt: Attempt, rejected: agent_pb2.Rejected) -> Verdict:
    """Return the verdict that a refusal means."""
    said = rejected.message[:MESSAGE_LENGTH]
    match rejected.reason:
        case agent_pb2.Rejected.REASON_POLICY_DENIED:
            return failure(Reason.POLICY_DENIED, said or f"the policy of agent '{attempt.agent}' forbids this task")
        case agent_pb2.Rejected.REASON_DRAINING:
            return unreachable(Reason.NOT_CONNECTED, f"agent '{attempt.agent}' is draining and takes no new tasks")
        case agent_pb2.Rejected.REASON_LEASE_EXPIRED:
            text = f"agent '{attempt.agent}' has not heard from the controller for too long and starts nothing new"
            return unreachable(Reason.NOT_CONNECTED, text)
        case reason:
            why = said or _WORDS.get(reason, "it gave no reason")
            return failure(Reason.REJECTED, f"agent '{attempt.agent}' refused the task: {why}")


class OutputMeter:
    """Bounds the live output of one agent. What is above is dropped and counted."""

    __slots__ = ("_left", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._left = OUTPUT_BYTES_A_SECOND

    def pass_on(self, attempt: Attempt, output: agent_pb2.Output, now: float) -> agent_pb2.Output | None:
        """Return what may go on to the run, cut where it is too much; None for nothing."""
        if int(now) != self._second:
            self._second, self._left = int(now), OUTPUT_BYTES_A_SECOND
        allowed = min(attempt.output_left, self._left, OUTPUT_CHUNK_BYTES)
        size = len(output.data)
        if size > allowed:
            if not allowed:
                return None
            output.dropped += size - allowed
            output.data = output.data[:allowed]
        attempt.output_left -= len(output.data)
        self._left -= len(output.data)
        return output
