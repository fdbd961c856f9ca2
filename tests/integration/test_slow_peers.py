"""test_slow_peers: who connects and says nothing, or half of it, or too much: it ends, and others get in meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import grpc
import grpc.aio
import pytest

from pybible.server.controller.services import blobs
from pybible.v1 import (
    agent_pb2,
    agent_pb2_grpc,
    blob_pb2,
    blob_pb2_grpc,
    enrollment_pb2,
    enrollment_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
)
from pybible.wire.identity import OperatorRole
from tests.support.controller import Holder, RunningController, controller, key_and_request
from tests.support.fake_agent import attached

# Generous: what is waited for comes when the limits below are over.
PATIENCE = 60.0
# Not so short that an honest peer on a busy machine is late.
QUICK = 2.0
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes(3) + b"\x04" + bytes(5)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def opened(address: str, said: bytes = b"", *, tls: ssl.SSLContext | None = None) -> Stream:
    """Connect, say something, and say no more."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
    writer.write(said)
    return reader, writer


async def until_closed(stream: Stream) -> None:
    """Wait until the other end has hung up."""
    reader, writer = stream
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


def holding(holder: Holder, folder: Path) -> ssl.SSLContext:
    """Return what shakes hands with a certificate, and trusts anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    both = folder / "holder.pem"
    both.write_bytes(holder.key + holder.certificate)
    context.load_cert_chain(both)
    return context


async def others_get_in(running: RunningController, known: Holder) -> None:
    """Attach an agent, and enrol a new host."""
    async with asyncio.timeout(PATIENCE):
        async with attached(running, known):
            pass
        await running.enrol("newcomer")


@pytest.mark.parametrize("port", ["agent_address", "enroll_address", "operator_address"])
async def test_silent_connections_end_and_others_get_in_meanwhile(tmp_path: Path, port: str) -> None:
    async with controller(tmp_path, handshake_timeout=QUICK) as running:
        known, address = await running.enrol("web01"), getattr(running, port)
        tls = holding(known, tmp_path)
        silent = [await opened(address) for _ in range(200)]
        half = [await opened(address, HALF_A_HELLO) for _ in range(20)]
        shaken = [await opened(address, b"", tls=tls) for _ in range(20)]
        preface = [await opened(address, PREFACE, tls=tls) for _ in range(20)]
        await others_get_in(running, known)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for stream in (*silent, *half, *shaken, *preface):
                group.create_task(until_closed(stream))


async def test_nobody_stays_on_the_enrolment_port(tmp_path: Path) -> None:
    async with controller(tmp_path, handshake_timeout=QUICK) as running:
        known = await running.enrol("web01")
        idle = await opened(running.enroll_address, PREFACE + SETTINGS, tls=holding(known, tmp_path))
        async with running.enrollment_channel() as channel, asyncio.timeout(PATIENCE):
            # Its one message never comes.
            begun = channel.stream_unary(
                "/pybible.v1.EnrollmentService/Enroll",
                request_serializer=bytes,
                response_deserializer=bytes,
            )(wait_for_ready=True)
            await others_get_in(running, known)
            assert await begun.code() is not grpc.StatusCode.OK
            await until_closed(idle)


@pytest.mark.parametrize("port", ["agent_address", "enroll_address", "operator_address"])
async def test_a_port_that_is_full_takes_others_when_the_silent_are_gone(tmp_path: Path, port: str) -> None:
    limits = {"connections": 10, "enroll_connections": 10, "operators_connections": 10}
    async with controller(tmp_path, handshake_timeout=QUICK, **limits) as running:
        known = await running.enrol("web01", operator_role=OperatorRole.RUNNER if port == "operator_address" else None)
        silent = [await opened(getattr(running, port)) for _ in range(30)]
        enrolment = port == "enroll_address"
        channel = running.enrollment_channel() if enrolment else running.channel(known)
        async with channel, asyncio.timeout(PATIENCE):
            # gRPC tries again by itself until it gets in.
            await channel.unary_unary(
                "/pybible.v1.EnrollmentService/GetAuthority" if enrolment else "/pybible.v1.BlobService/FindMissing",
                request_serializer=bytes,
                response_deserializer=bytes,
            )(b"", wait_for_ready=True)
            for stream in silent:
                await until_closed(stream)


async def test_a_request_to_enrol_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, running.enrollment_channel() as channel:
        stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
        large = enrollment_pb2.EnrollRequest(csr=key_and_request()[1], facts={"os": "x" * 70_000})
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Enroll(large, timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_stream_without_a_hello_ends_and_there_are_few_of_them(tmp_path: Path) -> None:
    async with controller(tmp_path, handshake_timeout=QUICK / 2) as running, AsyncExitStack() as channels:
        silent, other = await running.enrol("web01"), await running.enrol("web02")
        calls = []
        for _ in range(6):
            channel = await channels.enter_async_context(running.channel(silent))
            calls.append(agent_pb2_grpc.AgentServiceStub(channel).Attach())
        async with attached(running, other):
            pass
        async with asyncio.timeout(PATIENCE):
            denials = [await call.read() for call in calls]
            assert [await call.code() for call in calls] == [grpc.StatusCode.OK] * 6
        found = sorted(denied.deny.message for denied in denials if isinstance(denied, agent_pb2.ControllerMessage))
        assert found == ["4 streams of this agent have not said hello yet"] * 2 + ["no Hello within 3 s"] * 4
        async with attached(running, silent):
            pass


async def test_an_agent_that_attaches_all_the_time_is_held_back_and_others_are_not(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        restless, other = await running.enrol("web01"), await running.enrol("web02")
        async with running.channel(restless) as channel, asyncio.timeout(PATIENCE):
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            code = grpc.StatusCode.OK
            while code is grpc.StatusCode.OK:
                call = stub.Attach()
                # That is no Hello: it is over at once.
                with suppress(grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
                    await call.write(agent_pb2.AgentMessage(heartbeat=agent_pb2.Heartbeat()))
                    await call.read()
                code = await call.code()
            assert (code, await call.details()) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "this agent attaches too often",
            )
            async with attached(running, other):
                pass


async def test_an_upload_that_stalls_does_not_keep_the_blob_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "_SILENCE_SECONDS", QUICK)
    content = b"x" * 1000
    sha256 = hashlib.sha256(content).hexdigest()
    async with controller(tmp_path) as running:
        stalled, other = await running.enrol("web01"), await running.enrol("web02")
        async with running.channel(stalled) as channel, asyncio.timeout(PATIENCE):
            call = blob_pb2_grpc.BlobServiceStub(channel).Put()
            await call.write(blob_pb2.PutRequest(sha256=sha256, size=len(content), data=content[:10]))
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert await call.details() == "nothing came for 2 s"
        async with running.channel(other) as channel:
            call = blob_pb2_grpc.BlobServiceStub(channel).Put()
            await call.write(blob_pb2.PutRequest(sha256=sha256, size=len(content), data=content))
            await call.done_writing()
            await call


async def test_a_thousand_calls_at_once_on_one_connection_are_all_answered(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        operator = await running.enrol("ada", operator_role=OperatorRole.RUNNER)
        async with running.channel(operator) as channel, asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            for _ in range(1000):
                group.create_task(whoami(stub))


async def whoami(stub: fleet_pb2_grpc.FleetServiceAsyncStub) -> None:
    await stub.WhoAmI(fleet_pb2.WhoAmIRequest())
