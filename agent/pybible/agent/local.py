"""local: the control node's own runner for pybible-ctl: the same workers as an agent's, over a pipe, without gRPC.

ctl -> local   {"type": "run", "id", "spec": {...}}   body: the arguments
               {"type": "cancel", "id", "grace"}
               {"type": "quit"}                       or the end of the pipe: everything is killed
local -> ctl   {"type": "ready", "modules": [...]}    once
               {"type": "output", "id", "stream", "offset", "dropped"}   body: bytes
               {"type": "result", "id", "reason"}     body: a JSON object
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from pybible.agent.config import default_slots
from pybible.agent.failures import failure
from pybible.agent.modules import registry
from pybible.agent.workers import ContentError, Finished, WorkerPool
from pybible.wire.errors import ProtocolError
from pybible.wire.frames import FrameBuffer, encode
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import Attachment, spec_from_header
from pybible.wire.values import JsonObject

_READ_BYTES = 256 * 1024


class _AtHand:
    """The contents of tasks are files on this very host. What they give is written to `folder`, named by its sha256."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    async def locate(self, attachment: Attachment) -> Attachment:
        return attachment

    def release(self, attachment: Attachment) -> None:
        """Leave the file where it is: it is ctl's."""

    async def take(self, attachment: Attachment, parts: AsyncIterator[bytes]) -> None:
        if self._folder is None:
            raise ContentError("there is no folder for it")
        scratch = self._folder / f"{attachment.sha256}.{os.urandom(6).hex()}"
        try:
            with scratch.open("xb") as file:
                async for part in parts:
                    file.write(part)
            scratch.replace(self._folder / attachment.sha256)
        except OSError as error:
            raise ContentError(f"the content can't be kept in {self._folder}: {error.strerror}") from error
        finally:
            scratch.unlink(missing_ok=True)


class Local:
    """Answers one ctl."""

    def __init__(self, writer: asyncio.WriteTransport) -> None:
        self._writer = writer

    def send(self, header: JsonObject, body: bytes = b"") -> None:
        """Send one frame."""
        if not self._writer.is_closing():
            self._writer.write(encode(header, body))

    def started(self, attempt_id: str) -> None:
        """Say nothing: ctl does not ask (Sink)."""

    def output(self, attempt_id: str, stream: str, offset: int, data: bytes, dropped: int) -> None:
        """Pass on what a task printed (Sink)."""
        header: JsonObject = {"type": "output", "id": attempt_id, "stream": stream, "offset": offset}
        self.send({**header, "dropped": dropped}, data)

    def finished(self, attempt_id: str, result: Finished) -> None:
        """Pass on a result (Sink)."""
        self.send({"type": "result", "id": attempt_id, "reason": result.reason}, result.content)


async def serve(slots: int, given: Path | None) -> None:
    """Work on standard input and output until ctl ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(0), "rb", 0))
    writer, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(os.dup(1), "wb", 0))
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, reader.feed_eof)
    # ^C on ctl's terminal is ctl's to handle. Not SIG_IGN: that would be handed down to every command.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    local = Local(writer)
    async with WorkerPool(local, slots=slots, contents=_AtHand(given)) as pool:
        local.send({"type": "ready", "modules": list(registry.NAMES)})
        buffer = FrameBuffer()
        while data := await reader.read(_READ_BYTES):
            for frame in buffer.feed(data):
                if frame.type == "quit":
                    return
                attempt_id = str(frame.header.get("id", ""))
                if frame.type == "cancel":
                    pool.cancel(attempt_id, grace=float(frame.header.get("grace", 0)))
                elif frame.type == "run":
                    _submit(pool, local, attempt_id, frame.header.get("spec", {}), frame.body)


def _submit(pool: WorkerPool, local: Local, attempt_id: str, header: JsonObject, args: bytes) -> None:
    if pool.knows(attempt_id):
        return
    try:
        spec = spec_from_header(header, args)
    except ValueError as error:
        content = failure(Reason.REJECTED, str(error))
        local.finished(attempt_id, Finished(content=content, reason=Reason.REJECTED))
        return
    pool.submit(attempt_id, spec)


def main(arguments: list[str]) -> int:
    """Run; `--workers N` tasks at once; what they give goes to `--given FOLDER`."""
    parser = argparse.ArgumentParser(prog="pybible.agent.local")
    parser.add_argument("--workers", type=int, default=default_slots())
    parser.add_argument("--given", type=Path)
    options = parser.parse_args(arguments)
    try:
        asyncio.run(serve(max(1, options.workers), options.given))
    except (ProtocolError, BrokenPipeError, ConnectionResetError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
