"""output: what a running task prints, coalesced before it is sent on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pybible.wire.limits import OUTPUT_CHUNK_BYTES, OUTPUT_DELAY

# Called with (stream, offset, data, bytes dropped before them).
Send = Callable[[str, int, bytes, int], None]


@dataclass(slots=True)
class _Pending:
    offset: int = 0
    dropped: int = 0
    data: bytearray = field(default_factory=bytearray)


class OutputBuffer:
    """The output of one attempt: sent in parts of at most 32 KiB, each at most 100 ms late."""

    __slots__ = ("_has_sent", "_pending", "_send", "_timer")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._pending: dict[str, _Pending] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._has_sent = False

    def add(self, stream: str, offset: int, data: bytes, dropped: int) -> None:
        """Take bytes that begin at `offset` of the stream, after `dropped` ones that are missing."""
        pending = self._pending.setdefault(stream, _Pending(offset))
        if not pending.data:
            pending.offset = offset
        pending.data += data
        pending.dropped += dropped
        while len(pending.data) >= OUTPUT_CHUNK_BYTES:
            self._flush(stream, pending)
        if (pending.data or pending.dropped) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(OUTPUT_DELAY, self.flush)

    def flush(self) -> None:
        """Send what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for stream, pending in self._pending.items():
            if pending.data or pending.dropped:
                self._flush(stream, pending)

    def close(self) -> None:
        """The task is over. Of one that was quick nothing is sent: its result, which comes now, has it all."""
        if self._has_sent:
            self.flush()
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self, stream: str, pending: _Pending) -> None:
        part = bytes(pending.data[:OUTPUT_CHUNK_BYTES])
        del pending.data[:OUTPUT_CHUNK_BYTES]
        self._has_sent = True
        self._send(stream, pending.offset, part, pending.dropped)
        pending.offset += len(part)
        pending.dropped = 0
