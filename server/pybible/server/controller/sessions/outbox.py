"""outbox: what waits for the one writer of a stream. Heartbeats first; bounded by what the controller itself sends."""

from __future__ import annotations

import asyncio
from collections import deque

from pybible.v1 import agent_pb2

# Dispatches are bounded by the agent's slots, cancels by its attempts: more than this means that nobody reads.
BOUND = 10_000


class OutboxFull(Exception):
    """The agent does not read."""


class Outbox:
    """A queue with one reader."""

    __slots__ = ("_acks", "_closed", "_heartbeat", "_messages", "_wake")

    def __init__(self) -> None:
        self._heartbeat: int | None = None
        self._messages: deque[agent_pb2.ControllerMessage] = deque()
        self._acks: list[str] = []
        self._wake = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: agent_pb2.ControllerMessage) -> None:
        """Queue a message. OutboxFull when there are too many; nothing happens once it is closed."""
        if self._closed:
            return
        if len(self._messages) >= BOUND:
            raise OutboxFull
        self._messages.append(message)
        self._wake.set()

    def heartbeat(self, sequence: int) -> None:
        """Answer a heartbeat. Only the newest answer is worth sending."""
        self._heartbeat = sequence
        self._wake.set()

    def ack(self, attempt_id: str) -> None:
        """Acknowledge a result; those that wait together go in one message."""
        self._acks.append(attempt_id)
        self._wake.set()

    def close(self) -> None:
        """Take nothing more; `take` still gives what is there, then None."""
        self._closed = True
        self._wake.set()

    async def take(self) -> agent_pb2.ControllerMessage | None:
        """Wait for the next message. None at the end."""
        while True:
            if self._heartbeat is not None:
                sequence, self._heartbeat = self._heartbeat, None
                return agent_pb2.ControllerMessage(heartbeat_ack=agent_pb2.HeartbeatAck(sequence=sequence))
            if self._messages:
                return self._messages.popleft()
            if self._acks:
                ids, self._acks = self._acks, []
                return agent_pb2.ControllerMessage(ack=agent_pb2.Ack(attempt_ids=ids))
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
