"""outbox: what waits for the one writer of the stream. Heartbeats first; results are never dropped, output may be."""

from __future__ import annotations

import asyncio
from collections import deque

from pybible.v1 import agent_pb2

_OUTPUT_BYTES = 2 * 1024 * 1024
FULL = 1000
_AGAIN = 500


class Outbox:
    """A queue with one reader."""

    __slots__ = ("_closed", "_first", "_messages", "_output_bytes", "_room", "_wake")

    def __init__(self) -> None:
        self._first: agent_pb2.AgentMessage | None = None
        self._messages: deque[agent_pb2.AgentMessage] = deque()
        self._output_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: agent_pb2.AgentMessage) -> None:
        """Queue a message."""
        self._messages.append(message)
        if len(self._messages) >= FULL:
            self._room.clear()
        self._wake.set()

    def put_first(self, message: agent_pb2.AgentMessage) -> None:
        """Queue a heartbeat, before all else. A newer one replaces an older one."""
        self._first = message
        self._wake.set()

    def put_output(self, message: agent_pb2.AgentMessage) -> bool:
        """Queue output. False, and nothing queued, when too much of it waits already."""
        size = len(message.output.data)
        if self._output_bytes + size > _OUTPUT_BYTES:
            return False
        self._output_bytes += size
        self.put(message)
        return True

    async def room(self) -> None:
        """Wait until the controller reads what was sent: until then nothing more is to be read from it."""
        await self._room.wait()

    def close(self) -> None:
        """Let `take` return None once all is taken."""
        self._closed = True
        self._wake.set()

    async def take(self) -> agent_pb2.AgentMessage | None:
        """Wait for the next message. None at the end."""
        while True:
            if self._first is not None:
                message, self._first = self._first, None
                return message
            if self._messages:
                message = self._messages.popleft()
                if len(self._messages) == _AGAIN:
                    self._room.set()
                if message.HasField("output"):
                    self._output_bytes -= len(message.output.data)
                return message
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()
