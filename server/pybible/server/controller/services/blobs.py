"""blobs: BlobService, for agents and operators alike: whoever knows a content's sum may have the content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import grpc
import grpc.aio

from pybible.server.controller.blobs.content import BlobBusy, BlobMissing, BlobRead, BlobRefused, BlobStore, BlobWrite
from pybible.server.controller.blobs.traffic import Sent, Traffic
from pybible.server.controller.requests import all_readable
from pybible.server.controller.services.access import Access
from pybible.v1 import blob_pb2, blob_pb2_grpc
from pybible.wire.channel import BLOB_CHUNK_BYTES
from pybible.wire.errors import ProtocolError
from pybible.wire.identity import Role

_SUMS_AT_ONCE = 10_000
_REFUSAL_SECONDS = 5.0
# Between two messages of an upload. A slow line brings one in less: they have 256 KiB.
_SILENCE_SECONDS = 120.0


class BlobServicer(blob_pb2_grpc.BlobServiceServicer):
    """Carries contents in chunks; each file operation runs in a thread."""

    def __init__(self, *, access: Access, blobs: BlobStore, traffic: Traffic) -> None:
        self._access = access
        self._blobs = blobs
        self._traffic = traffic

    async def FindMissing(
        self,
        request: blob_pb2.FindMissingRequest,
        context: grpc.aio.ServicerContext[blob_pb2.FindMissingRequest, blob_pb2.FindMissingResponse],
    ) -> blob_pb2.FindMissingResponse:
        """Say which blobs are not here."""
        await self._access.require(context, "pybible.v1.BlobService/FindMissing")
        if len(request.sha256) > _SUMS_AT_ONCE:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"at most {_SUMS_AT_ONCE} sums at once")
        try:
            missing = await asyncio.to_thread(self._blobs.missing, list(request.sha256))
            offsets = await asyncio.to_thread(lambda: [self._blobs.begun(sha256) for sha256 in missing])
        except BlobRefused as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return blob_pb2.FindMissingResponse(sha256=missing, offsets=offsets)

    async def Put(
        self,
        request_iterator: AsyncIterator[blob_pb2.PutRequest],
        context: grpc.aio.ServicerContext[blob_pb2.PutRequest, blob_pb2.PutResponse],
    ) -> blob_pb2.PutResponse:
        """Store one blob."""
        await self._access.require(context, "pybible.v1.BlobService/Put")
        try:
            await self._receive(request_iterator)
        except BlobBusy as error:
            await _read_out(request_iterator)
            await context.abort(grpc.StatusCode.ABORTED, str(error))
        except (BlobRefused, ProtocolError) as error:
            await _read_out(request_iterator)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"nothing came for {_SILENCE_SECONDS:g} s")
        except OSError as error:
            await _read_out(request_iterator)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the blob can't be stored: {error.strerror}")
        return blob_pb2.PutResponse()

    async def Get(  # type: ignore[override]  # written with context.write: a generator would need no await
        self,
        request: blob_pb2.GetRequest,
        context: grpc.aio.ServicerContext[blob_pb2.GetRequest, blob_pb2.GetResponse],
    ) -> None:
        """Send one blob, from an offset on."""
        caller = await self._access.require(context, "pybible.v1.BlobService/Get")
        try:
            blob = await asyncio.to_thread(self._blobs.open, request.sha256, request.offset)
        except BlobMissing as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except BlobRefused as error:
            await context.abort(grpc.StatusCode.OUT_OF_RANGE, str(error))
        sent = self._traffic.count(caller.identity.id) if caller.identity.role is Role.AGENT else Sent()
        sent.contents += 1
        try:
            await _send(blob, context, sent)
        finally:
            blob.close()

    async def _receive(self, requests: AsyncIterator[blob_pb2.PutRequest]) -> None:
        requests = all_readable(requests)
        first = await _next(requests)
        if first is None:
            raise BlobRefused("the first message must name the blob")
        with await self._begin(first) as blob:
            await _to_its_end(blob.write, first.data)
            while (request := await _next(requests)) is not None:
                await _to_its_end(blob.write, request.data)
            await _to_its_end(blob.commit)

    async def _begin(self, first: blob_pb2.PutRequest) -> BlobWrite:
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(None, self._blobs.begin, first.sha256, first.size, first.offset)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait((future,))
            if future.exception() is None:
                future.result().close()
            raise


async def _next(requests: AsyncIterator[blob_pb2.PutRequest]) -> blob_pb2.PutRequest | None:
    """Return the next message, None at the end. TimeoutError: whoever stalls must not keep a blob to himself."""
    async with asyncio.timeout(_SILENCE_SECONDS):
        return await anext(requests, None)


async def _to_its_end(work: Callable[..., None], *arguments: bytes) -> None:
    """Run in a thread, and be cancelled only behind its end: the file is closed then."""
    future = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
    try:
        await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait((future,))
        # Nobody else asks for it.
        future.exception()
        raise


async def _read_out(requests: AsyncIterator[blob_pb2.PutRequest]) -> None:
    """Read what still comes, for a while: a caller whose writing fails never learns the reason of the refusal."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_REFUSAL_SECONDS):
            async for _ in requests:
                pass


async def _send(
    blob: BlobRead, context: grpc.aio.ServicerContext[blob_pb2.GetRequest, blob_pb2.GetResponse], sent: Sent
) -> None:
    first = True
    # The first message is sent even for an empty rest: it carries the size.
    while (data := await asyncio.to_thread(blob.read, BLOB_CHUNK_BYTES)) or first:
        await context.write(blob_pb2.GetResponse(size=blob.size if first else 0, data=data))
        sent.bytes += len(data)
        first = False
