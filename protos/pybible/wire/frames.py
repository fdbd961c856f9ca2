"""frames: what travels over the pipe to a worker, and from pybible-ctl to its own local agent.

A frame is two lengths (4 bytes each, big-endian: header, body), a JSON header and raw bytes. The header's `type` says
what it is; arguments, results and output are bodies, so that nobody encodes them twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from pybible.wire.errors import ProtocolError
from pybible.wire.values import JsonObject, dumps, loads_object

if TYPE_CHECKING:
    # A worker reads its frames without it, and starts in half the time.
    import asyncio

HEADER_LIMIT = 4 * 1024 * 1024
BODY_LIMIT = 256 * 1024 * 1024

_lengths = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message on a pipe."""

    header: JsonObject
    body: bytes = b""

    @property
    def type(self) -> str:
        """What it is."""
        return str(self.header.get("type", ""))


def encode(header: JsonObject, body: bytes = b"") -> bytes:
    """Return the bytes of a frame. ProtocolError when it is larger than the other end would take."""
    head = dumps(header)
    if len(head) > HEADER_LIMIT or len(body) > BODY_LIMIT:
        raise ProtocolError(f"a frame of {len(head)} + {len(body)} bytes is too large")
    return _lengths.pack(len(head), len(body)) + head + body


def _sizes(prefix: bytes) -> tuple[int, int]:
    head, body = _lengths.unpack(prefix)
    if head > HEADER_LIMIT or body > BODY_LIMIT:
        raise ProtocolError(f"the other end announces a frame of {head} + {body} bytes: not a frame")
    return head, body


def _frame(head: bytes, body: bytes) -> Frame:
    try:
        return Frame(loads_object(head), body)
    except ValueError as error:
        raise ProtocolError(f"the other end sent a frame that is not one: {error}") from error


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """Return the next frame, None at a clean end. ProtocolError for anything else that is not a frame."""
    try:
        prefix = await reader.readexactly(_lengths.size)
        head, body = _sizes(prefix)
        return _frame(await reader.readexactly(head), await reader.readexactly(body))
    except EOFError as error:
        if not getattr(error, "partial", b""):
            return None
        raise ProtocolError("the other end stopped in the middle of a frame") from error


def read_frame_blocking(stream: BinaryIO) -> Frame | None:
    """Do the same as read_frame on a blocking stream."""
    prefix = stream.read(_lengths.size)
    if not prefix:
        return None
    if len(prefix) < _lengths.size:
        raise ProtocolError("the other end stopped in the middle of a frame")
    head, body = _sizes(prefix)
    header, content = stream.read(head), stream.read(body)
    if len(header) < head or len(content) < body:
        raise ProtocolError("the other end stopped in the middle of a frame")
    return _frame(header, content)


class FrameBuffer:
    """Takes bytes as they come and gives the frames in them: for an asyncio.Protocol."""

    __slots__ = ("_data", "_sizes")

    def __init__(self) -> None:
        self._data = bytearray()
        self._sizes: tuple[int, int] | None = None

    @property
    def partial(self) -> bool:
        """Whether a part of a frame waits for its rest."""
        return bool(self._data)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add `data` and yield each frame that it completes. ProtocolError for what is not a frame."""
        self._data += data
        while True:
            if self._sizes is None:
                if len(self._data) < _lengths.size:
                    return
                self._sizes = _sizes(bytes(self._data[: _lengths.size]))
            head, body = self._sizes
            middle = _lengths.size + head
            if len(self._data) < middle + body:
                return
            with memoryview(self._data) as view:
                header, content = bytes(view[_lengths.size : middle]), bytes(view[middle : middle + body])
            del self._data[: middle + body]
            self._sizes = None
            yield _frame(header, content)
