"""outbox: what waits for the one writer of a stream. Heartbeats first; bounded by what the controller itself sends."""

from __future__ import annotations

from collections import deque

from pybible.v1 import agent_pb2

# Dispatches are bounded by the agent's slots, cancels by its attempts: more than this means that nobody reads.
BOUND = 10_000


class OutboxFull(Exception):
    """The agent does not read."""


class Outbox:
    """A queue with one reader. What it has no need of it does not hold: there is one for each agent."""

    __slots__ = ("_acks", "_heartbeat", "_messages", "closed")

    def __init__(self) -> None:
        self._heartbeat: int | None = None
        self._messages: deque[agent_pb2.ControllerMessage] | None = None
        self._acks: list[str] | None = None
        self.closed = False

    def __len__(self) -> int:
        return len(self._messages or ())

    def put(self, message: agent_pb2.ControllerMessage) -> None:
        """Queue a message. OutboxFull when there are too many; nothing happens once it is closed."""
        if self.closed:
            return
        if self._messages is None:
            self._messages = deque()
        if len(self._messages) >= BOUND:
            raise OutboxFull
        self._messages.append(message)

    def heartbeat(self, sequence: int) -> None:
        """Answer a heartbeat. Only the newest answer is worth sending."""
        self._heartbeat = sequence

    def ack(self, attempt_id: str) -> None:
        """Acknowledge a result; those that wait together go in one message."""
        if self._acks is None:
            self._acks = []
        self._acks.append(attempt_id)

    def close(self) -> None:
        """Take nothing more; `take` still gives what is there."""
        self.closed = True

    def take(self) -> agent_pb2.ControllerMessage | None:
        """Return the next message, None when nothing waits."""
        if self._heartbeat is not None:
            sequence, self._heartbeat = self._heartbeat, None
            return agent_pb2.ControllerMessage(heartbeat_ack=agent_pb2.HeartbeatAck(sequence=sequence))
        if self._messages:
            return self._messages.popleft()
        self._messages = None
        if self._acks:
            ids, self._acks = self._acks, None
            return agent_pb2.ControllerMessage(ack=agent_pb2.Ack(attempt_ids=ids))
        return None
