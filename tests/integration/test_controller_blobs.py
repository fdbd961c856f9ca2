"""test_controller_blobs: contents in chunks over real TLS."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from pybible.v1 import blob_pb2, blob_pb2_grpc
from pybible.wire.channel import BLOB_CHUNK_BYTES
from pybible.wire.identity import OperatorRole
from tests.support.controller import controller
from tests.support.processes import until


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def put(channel: grpc.aio.Channel, data: bytes, *, name: str = "", stop_after: int | None = None) -> None:
    async def requests() -> AsyncIterator[blob_pb2.PutRequest]:
        yield blob_pb2.PutRequest(sha256=name or sha256(data), size=len(data), data=data[:BLOB_CHUNK_BYTES])
        for start in range(BLOB_CHUNK_BYTES, len(data), BLOB_CHUNK_BYTES):
            if stop_after is not None and start >= stop_after:
                return
            yield blob_pb2.PutRequest(data=data[start : start + BLOB_CHUNK_BYTES])

    await blob_pb2_grpc.BlobServiceStub(channel).Put(requests(), timeout=30)


async def get(channel: grpc.aio.Channel, name: str, *, offset: int = 0) -> list[blob_pb2.GetResponse]:
    call = blob_pb2_grpc.BlobServiceStub(channel).Get(blob_pb2.GetRequest(sha256=name, offset=offset), timeout=30)
    return [response async for response in call]


def joined(responses: list[blob_pb2.GetResponse]) -> bytes:
    return b"".join(response.data for response in responses)


CONTENT = bytes(range(256)) * 4096 + b"rest"


async def test_what_an_operator_puts_an_agent_gets_in_chunks(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        agent = await running.enrol("web01")
        async with running.operator_channel() as operators, running.channel(agent) as agents:
            await put(operators, CONTENT)
            responses = await get(agents, sha256(CONTENT))
        assert joined(responses) == CONTENT
        assert [response.size for response in responses] == [len(CONTENT), 0, 0, 0, 0]
        assert max(len(response.data) for response in responses) == BLOB_CHUNK_BYTES


async def test_what_an_agent_puts_a_remote_operator_gets(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        agent = await running.enrol("web01")
        operator = await running.enrol("alice", operator_role=OperatorRole.ADMIN)
        async with running.channel(operator) as operators, running.channel(agent) as agents:
            await put(agents, CONTENT)
            assert joined(await get(operators, sha256(CONTENT))) == CONTENT


async def test_an_interrupted_transfer_goes_on_where_it_was(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        await put(channel, CONTENT)
        call = blob_pb2_grpc.BlobServiceStub(channel).Get(blob_pb2.GetRequest(sha256=sha256(CONTENT)))
        first = await call.read()
        assert isinstance(first, blob_pb2.GetResponse)
        call.cancel()
        rest = await get(channel, sha256(CONTENT), offset=len(first.data))
        assert first.data + joined(rest) == CONTENT
        assert rest[0].size == len(CONTENT)
        assert joined(await get(channel, sha256(CONTENT), offset=len(CONTENT))) == b""


async def test_an_interrupted_put_goes_on_where_it_was(tmp_path: Path) -> None:
    name = sha256(CONTENT)
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        stub = blob_pb2_grpc.BlobServiceStub(channel)
        call = stub.Put()
        await call.write(blob_pb2.PutRequest(sha256=name, size=len(CONTENT), data=CONTENT[:BLOB_CHUNK_BYTES]))
        incoming = tmp_path / "controller" / "blobs" / "incoming" / name
        await until(lambda: incoming.exists() and incoming.stat().st_size == BLOB_CHUNK_BYTES)
        call.cancel()
        await until(lambda: not running_writes(incoming))
        answer = await stub.FindMissing(blob_pb2.FindMissingRequest(sha256=[name]))
        assert list(answer.offsets) == [BLOB_CHUNK_BYTES]
        rest = [CONTENT[at : at + BLOB_CHUNK_BYTES] for at in range(BLOB_CHUNK_BYTES, len(CONTENT), BLOB_CHUNK_BYTES)]
        call = stub.Put()
        await call.write(blob_pb2.PutRequest(sha256=name, size=len(CONTENT), offset=BLOB_CHUNK_BYTES))
        for part in rest:
            await call.write(blob_pb2.PutRequest(data=part))
        await call.done_writing()
        await call
        assert joined(await get(channel, name)) == CONTENT


async def test_a_put_from_where_nothing_is_can_be_tried_again(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        call = blob_pb2_grpc.BlobServiceStub(channel).Put()
        await call.write(blob_pb2.PutRequest(sha256=sha256(CONTENT), size=len(CONTENT), offset=10))
        await call.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.ABORTED


def running_writes(path: Path) -> bool:
    """Tell whether this process, in which the controller runs, has the file open."""
    return any(link.resolve() == path for link in Path("/proc/self/fd").iterdir())


async def test_an_empty_blob_goes_there_and_back(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        await put(channel, b"")
        assert [response.data for response in await get(channel, sha256(b""))] == [b""]


async def test_a_blob_that_is_there_may_be_put_again(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        await put(channel, b"abc")
        await put(channel, b"abc")
        assert joined(await get(channel, sha256(b"abc"))) == b"abc"


async def test_the_missing_are_named(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        await put(channel, b"abc")
        request = blob_pb2.FindMissingRequest(sha256=[sha256(b"abc"), sha256(b"def")])
        answer = await blob_pb2_grpc.BlobServiceStub(channel).FindMissing(request)
        assert list(answer.sha256) == [sha256(b"def")]


@pytest.mark.parametrize(
    ("name", "stop_after", "code"),
    [
        (sha256(b"something else"), None, grpc.StatusCode.INVALID_ARGUMENT),
        ("", BLOB_CHUNK_BYTES * 2, grpc.StatusCode.INVALID_ARGUMENT),
        ("../x", None, grpc.StatusCode.INVALID_ARGUMENT),
    ],
    ids=["wrong sum", "cut short", "not a sum"],
)
async def test_what_is_not_as_announced_is_refused_and_not_kept(
    tmp_path: Path, name: str, stop_after: int | None, code: grpc.StatusCode
) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await put(channel, CONTENT, name=name, stop_after=stop_after)
        assert caught.value.code() is code
        # What is cut short may be gone on with.
        assert bool(stop_after) or not [
            path for path in (tmp_path / "controller" / "blobs").rglob("*") if path.is_file()
        ]


async def test_a_blob_over_the_limit_is_refused(tmp_path: Path) -> None:
    async with controller(tmp_path, blob_limit=10) as running, running.operator_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await put(channel, b"x" * 11)
        assert "11 bytes are more than this controller takes (10)" in (caught.value.details() or "")


async def test_a_blob_nobody_put_is_not_found(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get(channel, sha256(b"nothing"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
