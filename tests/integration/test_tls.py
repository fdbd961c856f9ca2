"""test_tls: TLS 1.3 and nothing older, on every port and at every end that dials; the peer is OpenSSL."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc.aio
import pytest

from pybible.agent.enroll import join
from pybible.agent.state import load_identity
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.channel import client_credentials, client_options
from pybible.wire.errors import ConnectionFailed
from pybible.wire.identity import JoinToken, OperatorRole
from tests.support.agent import running_agent
from tests.support.controller import Holder, RunningController, controller

VERSIONS = [
    pytest.param(ssl.TLSVersion.TLSv1_2, "refused", id="1.2"),
    pytest.param(ssl.TLSVersion.TLSv1_3, "TLSv1.3", id="1.3"),
]


def context(side: int, version: ssl.TLSVersion, folder: Path, *, key: bytes, certificate: bytes) -> ssl.SSLContext:
    """Return one end of TLS that speaks one version of it alone, and trusts anybody."""
    made = ssl.SSLContext(side)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    made.minimum_version = made.maximum_version = version
    made.set_alpn_protocols(["h2"])
    both = folder / "openssl.pem"
    both.write_bytes(key + certificate)
    made.load_cert_chain(both)
    return made


def dialled(address: str, version: ssl.TLSVersion, folder: Path, holder: Holder) -> str:
    """Shake hands as a client. Return the version that was agreed on, or "refused"."""
    client = context(ssl.PROTOCOL_TLS_CLIENT, version, folder, key=holder.key, certificate=holder.certificate)
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as plain:
        try:
            with client.wrap_socket(plain) as wrapped:
                return wrapped.version() or ""
        except (ssl.SSLError, ConnectionResetError):
            return "refused"


class OtherController:
    """Listens with a controller's own key and certificate, in one version of TLS alone."""

    def __init__(self, server: ssl.SSLContext) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"

    def outcome(self) -> str:
        """Shake hands with whoever comes next. Return the version that was agreed on, or "refused"."""
        self._listening.settimeout(30)
        connection, _ = self._listening.accept()
        connection.settimeout(30)
        with connection:
            try:
                with self._server.wrap_socket(connection, server_side=True) as wrapped:
                    return wrapped.version() or ""
            except ssl.SSLError:
                return "refused"

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()


@contextmanager
def other_controller(running: RunningController, version: ssl.TLSVersion, folder: Path) -> Iterator[OtherController]:
    """Listen with the key and the certificate of `running`."""
    pair = running.controller._parts.authority.server
    server = context(ssl.PROTOCOL_TLS_SERVER, version, folder, key=pair.key, certificate=pair.certificate)
    other = OtherController(server)
    try:
        yield other
    finally:
        other.close()


@pytest.mark.parametrize(("version", "outcome"), VERSIONS)
async def test_the_controllers_ports_take_tls_1_3_alone(tmp_path: Path, version: ssl.TLSVersion, outcome: str) -> None:
    async with controller(tmp_path) as running:
        holder = await running.enrol("web01")
        for address in (running.agent_address, running.enroll_address, running.operator_address):
            assert await asyncio.to_thread(dialled, address, version, tmp_path, holder) == outcome, address


@pytest.mark.parametrize(("version", "outcome"), VERSIONS)
async def test_an_agent_dials_in_tls_1_3_alone(tmp_path: Path, version: ssl.TLSVersion, outcome: str) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token()
        await asyncio.to_thread(join, tmp_path / "web01", token=token, name="web01")
        with other_controller(running, version, tmp_path) as other:
            async with running_agent(tmp_path / "web01", controller=other.address):
                assert await asyncio.to_thread(other.outcome) == outcome


@pytest.mark.parametrize(("version", "outcome"), VERSIONS)
async def test_an_operator_dials_in_tls_1_3_alone(tmp_path: Path, version: ssl.TLSVersion, outcome: str) -> None:
    async with controller(tmp_path) as running:
        holder = await running.enrol("alice", operator_role=OperatorRole.ADMIN)
        credentials = client_credentials(authority=holder.authority, key=holder.key, certificate=holder.certificate)
        with other_controller(running, version, tmp_path) as other:
            async with grpc.aio.secure_channel(other.address, credentials, options=client_options()) as channel:
                asked = fleet_pb2_grpc.FleetServiceStub(channel).ListAgents(fleet_pb2.ListAgentsRequest(), timeout=30)
                assert await asyncio.to_thread(other.outcome) == outcome
                asked.cancel()


async def test_a_host_does_not_enrol_in_tls_1_2(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = JoinToken.decode(await running.controller.create_token())
        with other_controller(running, ssl.TLSVersion.TLSv1_2, tmp_path) as other:
            elsewhere = JoinToken(address=other.address, pin=token.pin, secret=token.secret).encode()
            joining = asyncio.to_thread(join, tmp_path / "web01", token=elsewhere, name="web01")
            async with asyncio.TaskGroup() as group:
                outcome = group.create_task(asyncio.to_thread(other.outcome))
                with pytest.raises(ConnectionFailed, match="does not speak TLS as an enrolment port does"):
                    await joining
            assert outcome.result() == "refused"
        # Its secret stayed where it was: it is good for one host still.
        await asyncio.to_thread(join, tmp_path / "web01", token=token.encode(), name="web01")
        assert load_identity(tmp_path / "web01").name == "web01"


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own, where no variable of gRPC's is set but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**inherited, **environment},
    )


def test_what_a_process_starts_does_not_inherit_what_grpc_was_told() -> None:
    done = python(
        "import os, subprocess, pybible.agent.daemon, pybible.server.client.connection\n"
        "print(subprocess.run(['env'], capture_output=True, text=True).stdout, *os.environ)"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "PATH=" in done.stdout
    assert "GRPC_" not in done.stdout


def test_what_the_environment_had_for_grpc_is_there_again() -> None:
    given = {"GRPC_VERBOSITY": "ERROR", "GRPC_SSL_CIPHER_SUITES": "ECDHE-ECDSA-AES128-GCM-SHA256"}
    done = python(
        "import os, pybible.wire\n"
        "import grpc\n"
        "print(*[os.environ[name] for name in ('GRPC_VERBOSITY', 'GRPC_SSL_CIPHER_SUITES')])",
        **given,
    )
    assert done.stdout.split() == list(given.values())


def test_grpc_can_not_be_imported_before_it_is_told() -> None:
    assert "ImportError: grpc was imported before pybible.wire" in python("import grpc, pybible.wire").stderr


def test_nor_can_it_be_found_by_somebody_else() -> None:
    done = python("import sys, pybible.wire\nsys.meta_path.insert(0, sys.meta_path.pop())\nimport pybible.wire.channel")
    assert "ImportError: grpc was imported past pybible.wire.importing" in done.stderr
