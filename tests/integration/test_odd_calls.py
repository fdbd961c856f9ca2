"""test_odd_calls: no name of a method closes a port: gRPC alone would end the server over one that is not UTF-8."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from pybible.v1 import enrollment_pb2, enrollment_pb2_grpc
from pybible.wire.identity import OperatorRole
from tests.fuzz.ports import PREFACE, SETTINGS, call
from tests.support.controller import Holder, RunningController, controller
from tests.support.fake_agent import PATIENCE

ODD = [b"/\xff\xff", b"\xff", b"/pybible.v1.AgentService/\xc3(", b"/pybible.v1.AgentService/Nothing"]


def tls(holder: Holder, folder: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.set_alpn_protocols(["h2"])
    both = folder / "holder.pem"
    both.write_bytes(holder.key + holder.certificate)
    made.load_cert_chain(both)
    return made


def say(connection: socket.socket, path: bytes) -> None:
    """Call a method, and read until the port has answered the call."""
    connection.settimeout(PATIENCE)
    connection.sendall(PREFACE + SETTINGS + call(path))
    heard = b""
    while b"grpc-status" not in heard:
        part = connection.recv(65536)
        assert part, "the port hung up"
        heard += part


@asynccontextmanager
async def port(running: RunningController, name: str, holder: Holder) -> AsyncIterator[grpc.aio.Channel]:
    if name == "enrolment":
        async with running.enrollment_channel() as channel:
            yield channel
    elif name in {"agents", "operators"}:
        async with running.channel(holder) as channel:
            yield channel
    else:
        async with running.operator_channel() as channel:
            yield channel


async def is_there(channel: grpc.aio.Channel, name: str) -> None:
    if name == "enrolment":
        stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
        await stub.GetAuthority(enrollment_pb2.GetAuthorityRequest(), timeout=PATIENCE)
    else:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)


@pytest.mark.parametrize("name", ["enrolment", "agents", "operators", "socket"])
async def test_a_port_outlives_any_name_of_a_method(tmp_path: Path, name: str) -> None:
    async with controller(tmp_path) as running:
        holder = await running.enrol("web01", operator_role=OperatorRole.VIEWER if name == "operators" else None)
        context = tls(holder, tmp_path)

        def attack(path: bytes) -> None:
            if name == "socket":
                with socket.socket(socket.AF_UNIX) as plain:
                    plain.connect(str(running.socket_path))
                    say(plain, path)
                return
            addresses = {"agents": running.agent_address, "operators": running.operator_address}
            address = addresses.get(name, running.enroll_address)
            host, _, number = address.rpartition(":")
            with socket.create_connection((host, int(number))) as plain, context.wrap_socket(plain) as wrapped:
                say(wrapped, path)

        async with port(running, name, holder) as channel:
            for path in ODD:
                await asyncio.to_thread(attack, path)
                await is_there(channel, name)
