"""contents: files on their way to agents, and large results on their way back, over a connection of their own."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import grpc
import grpc.aio

from pybible.server.client.failures import call_failure
from pybible.v1 import blob_pb2, blob_pb2_grpc
from pybible.wire.channel import BLOB_CHUNK_BYTES, INLINE_ATTACHMENT_BYTES, RESULT_BYTES
from pybible.wire.errors import ConnectionFailed, ProtocolError, PybibleError
from pybible.wire.tasks import Attachment

# (device, inode, size, modification time): the same file with the same content.
_Stamp = tuple[int, int, int, int]
_TRIES = 3
_AGAIN = (grpc.StatusCode.ABORTED, grpc.StatusCode.UNAVAILABLE)


class Contents:
    """Hashes files once, puts them into the controller's store once, reads results from it."""

    def __init__(self, open_channel: Callable[[], grpc.aio.Channel], *, target: str, inline_bytes: int) -> None:
        self._open_channel = open_channel
        self._target = target
        # What is inline is read whole: a controller has no say in it beyond this.
        self._inline_bytes = min(inline_bytes, INLINE_ATTACHMENT_BYTES)
        self._channel: grpc.aio.Channel | None = None
        # Of controllers that went away: to close them would cancel whoever is about to find that out.
        self._former: list[grpc.aio.Channel] = []
        self._hashed: dict[_Stamp, Attachment] = {}
        self._stored: dict[str, asyncio.Future[None]] = {}
        # How much of files went out to the controller.
        self.sent_bytes = 0

    async def attach(self, path: Path) -> Attachment:
        """Return the attachment for a file. OSError when it can't be read."""
        stamp = _stamp(path)
        found = self._hashed.get(stamp)
        if found is None:
            found = self._hashed[stamp] = await asyncio.to_thread(_hash, path, self._inline_bytes)
        return found

    async def ensure(self, attachment: Attachment) -> None:
        """Make sure that the controller has a content. PybibleError when it can't get it."""
        if attachment.inline is not None:
            return
        known = self._stored.get(attachment.sha256)
        if known is not None:
            await asyncio.shield(known)
            return
        future = self._stored[attachment.sha256] = asyncio.get_running_loop().create_future()
        # Nobody else may be waiting for it.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await self._store(attachment)
        except grpc.RpcError as error:
            failure = call_failure(error, self._target)
            if not isinstance(failure, ConnectionFailed):
                failure = PybibleError(f"{attachment.path} was not sent: {failure.message}")
            self._forget(attachment.sha256, failure)
            raise failure from error
        except OSError as error:
            failure = PybibleError(f"{attachment.path} can't be read: {error.strerror}")
            self._forget(attachment.sha256, failure)
            raise failure from error
        except BaseException as error:
            self._forget(attachment.sha256, PybibleError(f"{attachment.path} was not sent: {error}"))
            raise
        future.set_result(None)

    async def fetch(self, attachment: Attachment) -> bytes:
        """Read a content from the controller's store. PybibleError when that fails, or when it is not what it says."""
        if attachment.size > RESULT_BYTES:
            raise ProtocolError(f"a result of {attachment.size} bytes is too large")
        content = bytearray()
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._read(attachment, content)
                break
            except grpc.RpcError as error:
                if not tries_left:
                    raise call_failure(error, self._target) from error
        if hashlib.sha256(content).hexdigest() != attachment.sha256:
            raise ProtocolError("a result arrived damaged")
        return bytes(content)

    async def save(self, attachment: Attachment, file: BinaryIO) -> None:
        """Write a content of the controller's store to `file`, part by part.

        PybibleError when that fails, or when it is not what it says; OSError when it can't be written.
        """
        digest = hashlib.sha256()
        for tries_left in reversed(range(_TRIES)):
            try:
                request = blob_pb2.GetRequest(sha256=attachment.sha256, offset=file.tell())
                async for part in self._stub().Get(request):
                    digest.update(part.data)
                    file.write(part.data)
                    if file.tell() > attachment.size:
                        raise ProtocolError("what the host sent is larger than it was said to be")
                break
            except grpc.RpcError as error:
                if not tries_left:
                    raise call_failure(error, self._target) from error
        if digest.hexdigest() != attachment.sha256:
            raise ProtocolError("what the host sent arrived damaged")

    def move(self, open_channel: Callable[[], grpc.aio.Channel]) -> None:
        """Go another way to the controller from now on: it was started again."""
        self._open_channel = open_channel
        if self._channel is not None:
            self._former.append(self._channel)
            self._channel = None

    async def close(self) -> None:
        """Close the connection."""
        for channel in self._former:
            await channel.close()
        self._former.clear()
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    def _forget(self, sha256: str, failure: Exception) -> None:
        self._stored.pop(sha256).set_exception(failure)

    def _stub(self) -> blob_pb2_grpc.BlobServiceAsyncStub:
        if self._channel is None:
            self._channel = self._open_channel()
        return blob_pb2_grpc.BlobServiceStub(self._channel)

    async def _store(self, attachment: Attachment) -> None:
        """Put a content where it is missing; what broke off is gone on with, here and in later runs."""
        for tries_left in reversed(range(_TRIES)):
            stub = self._stub()
            missing = await stub.FindMissing(blob_pb2.FindMissingRequest(sha256=[attachment.sha256]))
            if not isinstance(missing, blob_pb2.FindMissingResponse):
                raise ProtocolError(f"the controller at {self._target} sends what can't be read")
            if not missing.sha256:
                return
            offset = next(iter(missing.offsets), 0)
            try:
                await self._put(stub, attachment, offset=offset)
                return
            except grpc.aio.AioRpcError as error:
                # What was there already may be damaged: then it is gone now.
                damaged = error.code() is grpc.StatusCode.INVALID_ARGUMENT and offset
                if not tries_left or not (damaged or error.code() in _AGAIN):
                    raise

    async def _put(self, stub: blob_pb2_grpc.BlobServiceAsyncStub, attachment: Attachment, *, offset: int) -> None:
        with Path(attachment.path).open("rb") as file:  # noqa: ASYNC230  a local file, part by part
            if os.fstat(file.fileno()).st_size != attachment.size:
                raise PybibleError(f"{attachment.path} has changed since it was read first")
            file.seek(offset)
            call = stub.Put()
            request = blob_pb2.PutRequest(sha256=attachment.sha256, size=attachment.size, offset=offset)
            try:
                while (part := file.read(BLOB_CHUNK_BYTES)) or request.sha256:
                    request.data = part
                    await call.write(request)
                    self.sent_bytes += len(part)
                    request = blob_pb2.PutRequest()
                await call.done_writing()
            except asyncio.InvalidStateError:
                # The controller ended the call; its status says why.
                pass
            except OSError:
                call.cancel()
                raise
            await call

    async def _read(self, attachment: Attachment, content: bytearray) -> None:
        request = blob_pb2.GetRequest(sha256=attachment.sha256, offset=len(content))
        async for part in self._stub().Get(request):
            content += part.data
            if len(content) > attachment.size:
                raise ProtocolError("a result is larger than it was said to be")


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _hash(path: Path, inline_bytes: int) -> Attachment:
    if path.stat().st_size <= inline_bytes:
        content = path.read_bytes()
        return Attachment(sha256=hashlib.sha256(content).hexdigest(), size=len(content), inline=content)
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while part := file.read(BLOB_CHUNK_BYTES):
            digest.update(part)
            size += len(part)
    return Attachment(sha256=digest.hexdigest(), size=size, path=os.fspath(path))
