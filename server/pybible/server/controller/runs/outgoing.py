"""outgoing: what waits to be said to the ctl of a run, as few messages as possible."""

from __future__ import annotations

import asyncio
from collections import deque

from pybible.server.controller.sessions.attempts import Verdict
from pybible.v1 import agent_pb2, run_pb2

# A message is closed at this size; one update may be a little over 512 KiB, the wire takes 4 MiB.
_MESSAGE_BYTES = 1024 * 1024
# Above this much, output is dropped, and above that no more attempts go out: ctl does not keep up.
_OUTPUT_BYTES = 4 * 1024 * 1024
FULL_BYTES = 32 * 1024 * 1024
_UPDATE_BYTES = 64


class Outgoing:
    """A queue of updates with one reader. Results are never dropped."""

    def __init__(self) -> None:
        self._ready: deque[tuple[run_pb2.ExecuteResponse, int]] = deque()
        self._open = run_pb2.ExecuteResponse()
        self._open_bytes = 0
        self._bytes = 0
        self._dropped: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._closed = False

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no more attempts should go out."""
        return self._bytes > FULL_BYTES

    @property
    def waiting_bytes(self) -> int:
        """How much waits."""
        return self._bytes

    def started(self, name: str) -> None:
        """Say that an attempt on the control node has a slot: it is ctl that runs it."""
        update = self._update(name, 0)
        if update is not None:
            update.started.SetInParent()

    def ended(self, name: str, verdict: Verdict) -> None:
        """Give an attempt's result."""
        content = verdict.content
        update = self._update(name, _size(content))
        if update is None:
            return
        self._dropped.pop(name, None)
        ended = update.ended
        if isinstance(content, bytes):
            ended.inline = content
        elif isinstance(content, run_pb2.PushedFacts):
            ended.facts.CopyFrom(content)
        else:
            ended.blob.CopyFrom(content)
        ended.reason = verdict.reason
        ended.unreachable = verdict.unreachable

    def output(self, name: str, output: agent_pb2.Output) -> None:
        """Pass output on, or drop it and say so with the next."""
        size = len(output.data)
        if self._bytes + size > _OUTPUT_BYTES:
            self._dropped[name] = self._dropped.get(name, 0) + size + output.dropped
            return
        update = self._update(name, size)
        if update is not None:
            news = update.output
            news.stream = output.stream
            news.offset = output.offset
            news.data = output.data
            news.dropped = output.dropped + self._dropped.pop(name, 0)

    def say(self, message: run_pb2.ExecuteResponse) -> None:
        """Send a message behind all that waits."""
        if not self._closed:
            self._seal()
            self._ready.append((message, 0))
            self._wake.set()

    def close(self) -> None:
        """Take nothing more; `take` still gives what is there, then None."""
        self._closed = True
        self._wake.set()

    async def take(self) -> run_pb2.ExecuteResponse | None:
        """Wait for the next message. None at the end."""
        while True:
            if not self._ready:
                self._seal()
            if self._ready:
                message, size = self._ready.popleft()
                self._bytes -= size
                return message
            if self._closed:
                return None
            self._wake.clear()
            await self._wake.wait()

    def _update(self, name: str, size: int) -> run_pb2.AttemptUpdate | None:
        if self._closed:
            return None
        if self._open_bytes and self._open_bytes + size > _MESSAGE_BYTES:
            self._seal()
        size += _UPDATE_BYTES
        self._open_bytes += size
        self._bytes += size
        self._wake.set()
        return self._open.updates.updates.add(attempt_id=name)

    def _seal(self) -> None:
        if self._open_bytes:
            self._ready.append((self._open, self._open_bytes))
            self._open = run_pb2.ExecuteResponse()
            self._open_bytes = 0


def _size(content: bytes | agent_pb2.Attachment | run_pb2.PushedFacts) -> int:
    if isinstance(content, run_pb2.PushedFacts):
        return len(content.facts) + len(content.moving)
    return len(content) if isinstance(content, bytes) else _UPDATE_BYTES
