"""blobs: contents of tasks from the controller, kept by their sha256; and large results on their way to it.

Both travel on a connection of their own, so that a large file never delays a heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import grpc
import grpc.aio

from pybible.agent.dial import Dialer
from pybible.agent.workers import ContentError
from pybible.v1 import blob_pb2, blob_pb2_grpc
from pybible.wire.backoff import Backoff
from pybible.wire.limits import BLOB_CHUNK_BYTES
from pybible.wire.logs import fields
from pybible.wire.tasks import Attachment

_TRIES = 4
_KEEP_CONNECTION = 30.0
# What may hold secrets is called so, and goes with its task.
_BRIEF = ".brief"
_BROKEN_OFF_KEPT = 86400.0
_SUM = re.compile("[0-9a-f]{64}")
_HOPELESS = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.OUT_OF_RANGE)
_log = logging.getLogger(__name__)


class BlobCache:
    """The contents that this host has had, at most `limit` bytes of them, in `folder` (ContentSource)."""

    def __init__(self, folder: Path, *, dialer: Dialer, limit: int) -> None:
        self._folder = folder
        self._dialer = dialer
        self._limit = limit
        # How many tasks use what is not to be kept.
        self._brief: dict[str, int] = {}
        self._fetching: dict[str, asyncio.Lock] = {}
        self._channel: grpc.aio.Channel | None = None
        # With which certificate it was opened.
        self._generation = 0
        self._users = 0
        self._closer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        folder.mkdir(mode=0o700, exist_ok=True)
        before = time.time() - _BROKEN_OFF_KEPT
        for left in folder.glob(f"*{_BRIEF}"):
            # An agent that was killed could not see to it.
            left.unlink(missing_ok=True)
        for partial in folder.glob("*.part"):
            # What an agent that was killed had of a blob is where the next one goes on.
            if partial.stat().st_mtime < before:
                partial.unlink(missing_ok=True)

    async def locate(self, attachment: Attachment) -> Attachment:
        """Return it inline, or with the path of a file that holds it. ContentError when it can't be had."""
        if attachment.inline is not None:
            return attachment
        if not _SUM.fullmatch(attachment.sha256):
            raise ContentError(f"{attachment.sha256!r} is not the sha256 of content")
        path = self._path(attachment)
        if attachment.brief:
            self._brief[attachment.sha256] = self._brief.get(attachment.sha256, 0) + 1
        lock = self._fetching.setdefault(attachment.sha256, asyncio.Lock())
        try:
            async with lock:
                if path.exists():
                    path.touch()
                else:
                    await self._fetch(attachment, path)
        finally:
            if not lock.locked():
                self._fetching.pop(attachment.sha256, None)
        return replace(attachment, path=str(path))

    def release(self, attachment: Attachment) -> None:
        """Say that a task is over which had located it: what is brief goes with the last of them."""
        if not attachment.brief or attachment.sha256 not in self._brief:
            return
        self._brief[attachment.sha256] -= 1
        if not self._brief[attachment.sha256]:
            del self._brief[attachment.sha256]
            self._path(attachment).unlink(missing_ok=True)

    def _path(self, attachment: Attachment) -> Path:
        return self._folder / (f"{attachment.sha256}{_BRIEF}" if attachment.brief else attachment.sha256)

    async def put(self, content: bytes) -> Attachment:
        """Put a result into the controller's store. AioRpcError when that fails."""
        sha256 = await asyncio.to_thread(_sum, content)
        parts = (content[at : at + BLOB_CHUNK_BYTES] for at in range(0, len(content), BLOB_CHUNK_BYTES))
        attachment = Attachment(sha256=sha256, size=len(content))
        async with self._stub() as stub:
            await _put(stub, attachment, _each(parts))
        return attachment

    async def take(self, attachment: Attachment, parts: AsyncIterator[bytes]) -> None:
        """Put what a module gives into the controller's store. ContentError when that fails."""
        try:
            async with self._stub() as stub:
                missing = await stub.FindMissing(blob_pb2.FindMissingRequest(sha256=[attachment.sha256]))
                if missing.sha256:
                    await _put(stub, attachment, parts, offset=next(iter(missing.offsets), 0))
        except grpc.aio.AioRpcError as error:
            text = error.details() or error.code().name.lower()
            raise ContentError(f"the content can't be handed over: {text}") from error

    async def close(self) -> None:
        """Close the connection."""
        if self._closer is not None:
            self._closer.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _fetch(self, attachment: Attachment, path: Path) -> None:
        partial = path.with_suffix(".part")
        begun = partial.exists()
        await self._complete(attachment, partial)
        if await asyncio.to_thread(_sum_of, partial) != attachment.sha256:
            partial.unlink(missing_ok=True)
            if not begun:
                raise ContentError(f"content {attachment.sha256} arrived damaged")
            # What was there already was not what it was meant to be.
            await self._fetch(attachment, path)
            return
        partial.replace(path)
        await asyncio.to_thread(self._make_room, path)

    async def _complete(self, attachment: Attachment, partial: Path) -> None:
        """Read what is missing of a blob, in several tries if need be."""
        backoff = Backoff(first=0.5, limit=4)
        for left in range(_TRIES - 1, -1, -1):
            try:
                await self._continue(attachment, partial)
                return
            except grpc.aio.AioRpcError as error:
                text = error.details() or error.code().name.lower()
                if left == 0 or error.code() in _HOPELESS:
                    raise ContentError(f"content {attachment.sha256} can't be fetched: {text}") from error
                _log.warning("content is fetched again", extra=fields(sha256=attachment.sha256, error=text))
                await asyncio.sleep(backoff.next())
            except OSError as error:
                # A full disk is not to be kept full.
                await asyncio.to_thread(partial.unlink, missing_ok=True)
                text = f"content {attachment.sha256} can't be kept in {self._folder}: {error.strerror}"
                raise ContentError(text) from error

    async def _continue(self, attachment: Attachment, partial: Path) -> None:
        """Read the rest of a blob, from where the last try ended."""
        with partial.open("ab", buffering=0) as file:
            async with self._stub() as stub:
                call = stub.Get(blob_pb2.GetRequest(sha256=attachment.sha256, offset=file.tell()))
                async for response in call:
                    _write(file, response.data)

    @asynccontextmanager
    async def _stub(self) -> AsyncIterator[blob_pb2_grpc.BlobServiceAsyncStub]:
        """Lend the connection, opened when needed and closed a while after its last use."""
        if self._closer is not None:
            self._closer.cancel()
            self._closer = None
        if self._channel is not None and self._generation != self._dialer.generation:
            # The certificate of this connection may end, and calls on it are refused then.
            outdated, self._channel = self._channel, None
            if self._users == 0:
                await outdated.close()
        if self._channel is None:
            self._channel = self._dialer.channel()
            self._generation = self._dialer.generation
        channel = self._channel
        self._users += 1
        failed = True
        try:
            yield blob_pb2_grpc.BlobServiceStub(channel)
            failed = False
        finally:
            self._users -= 1
            if failed and self._channel is channel:
                # A new one for each try, as for sessions; what else runs on this one is not hurt by its last use.
                self._channel = None
            if self._channel is not channel and self._users == 0:
                await channel.close()
            elif self._users == 0:
                self._closer = asyncio.get_running_loop().call_later(_KEEP_CONNECTION, self._idle.set)

    async def close_when_idle(self) -> None:
        """Close the connection whenever nobody has used it for a while. Runs until cancelled."""
        while True:
            await self._idle.wait()
            self._idle.clear()
            channel = self._channel
            if self._users == 0 and channel is not None:
                self._channel = None
                await channel.close()

    def _make_room(self, newest: Path) -> None:
        """Forget what was not used for longest."""
        found = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.iterdir())
        total = sum(size for _, size, _ in found)
        for _, size, path in found:
            if total <= self._limit:
                return
            if path != newest and path.suffix != ".part":
                path.unlink(missing_ok=True)
                total -= size


async def _put(
    stub: blob_pb2_grpc.BlobServiceAsyncStub, attachment: Attachment, parts: AsyncIterator[bytes], *, offset: int = 0
) -> None:
    """Put a blob, without its first `offset` bytes: those are there."""
    call = stub.Put()
    try:
        await call.write(blob_pb2.PutRequest(sha256=attachment.sha256, size=attachment.size, offset=offset))
        async for part in parts:
            rest, offset = part[offset:], max(0, offset - len(part))
            for at in range(0, len(rest), BLOB_CHUNK_BYTES):
                await call.write(blob_pb2.PutRequest(data=rest[at : at + BLOB_CHUNK_BYTES]))
        await call.done_writing()
    except asyncio.InvalidStateError:
        # The controller ended the call; its status says why.
        pass
    except BaseException:
        call.cancel()
        raise
    await call


async def _each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def _write(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _sum(content: bytes) -> str:
    import hashlib  # brings OpenSSL, which an agent that fetches and puts nothing need not hold

    return hashlib.sha256(content).hexdigest()


def _sum_of(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
