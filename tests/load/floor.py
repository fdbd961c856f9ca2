"""floor: a bare gRPC echo over mTLS, the most that this stack can do: no engine, no worker, no store.

`measure(connections)` starts an echo server and, in another process, that many connections with one stream each; every
stream sends a message as large as a dispatched ping, and waits for its answer, as large as a ping's result. With
`apart` each connection has a process of its own, as agents have: what that costs is the machine's, not pybible's.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pybible.server.controller.ports import raise_file_limit
from pybible.wire import channel
from pybible.wire.identity import CONTROLLER_NAME

REQUEST = b"x" * 140
RESPONSE = b"y" * 180
METHOD = "/floor.Echo/Attach"


@dataclass(frozen=True, slots=True)
class Floor:
    """What was measured. CPU in seconds a round trip, of the server and of the clients."""

    round_trips_per_second: float
    server_cpu: float
    client_cpu: float


def measure(connections: int, *, rounds: int, apart: bool = False) -> Floor:
    """Run the echo with `rounds` round trips on each connection."""
    with tempfile.TemporaryDirectory() as folder:
        _write_certificates(Path(folder))
        server = _start("server", folder)
        clients: list[subprocess.Popen[str]] = []
        try:
            port = _line(server)
            each = 1 if apart else connections
            clients += [_start("client", folder, port, str(each), str(rounds)) for _ in range(connections // each)]
            for client in clients:
                _line(client)
            before = json.loads(_said(server, "cpu"))
            started = time.monotonic()
            for client in clients:
                _say(client, "go")
            client_cpu = sum(json.loads(_line(client)) for client in clients)
            seconds = time.monotonic() - started
            server_cpu = json.loads(_said(server, "cpu")) - before
        finally:
            for process in (server, *clients):
                process.kill()
                process.communicate()
        trips = connections * rounds
        return Floor(trips / seconds, server_cpu / trips, client_cpu / trips)


def _start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.load.floor", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def _say(process: subprocess.Popen[str], word: str) -> None:
    if process.stdin is not None:
        process.stdin.write(f"{word}\n")
        process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline().strip() if process.stdout is not None else ""
    if not line:
        raise RuntimeError("a process of the floor ended early")
    return line


def _said(process: subprocess.Popen[str], word: str) -> str:
    _say(process, word)
    return _line(process)


def _write_certificates(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "floor")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(CONTROLLER_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    unencrypted = serialization.NoEncryption()
    (folder / "key").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, unencrypted))
    (folder / "certificate").write_bytes(certificate.public_bytes(encoding))


async def _echo(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
    async for _ in requests:
        await context.write(RESPONSE)


async def _serve(folder: Path) -> None:
    key, certificate = (folder / "key").read_bytes(), (folder / "certificate").read_bytes()
    server = grpc.aio.server(options=channel.server_options())
    handler = grpc.method_handlers_generic_handler(
        "floor.Echo", {"Attach": grpc.stream_stream_rpc_method_handler(_echo)}
    )
    server.add_generic_rpc_handlers((handler,))
    credentials = channel.server_credentials(key=key, certificate=certificate, client_authority=certificate)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(port, flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(time.process_time(), flush=True)
    await server.stop(0)


async def _stream(folder: Path, port: str, rounds: int, ready: asyncio.Barrier) -> None:
    key, certificate = (folder / "key").read_bytes(), (folder / "certificate").read_bytes()
    credentials = channel.client_credentials(authority=certificate, key=key, certificate=certificate)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=channel.client_options()) as link:
        call: grpc.aio.StreamStreamCall[bytes, bytes] = link.stream_stream(METHOD)()
        await call.write(REQUEST)
        await call.read()
        # Once when it is connected, once when all are to begin.
        await ready.wait()
        await ready.wait()
        for _ in range(rounds):
            await call.write(REQUEST)
            await call.read()
        await call.done_writing()


async def _drive(folder: Path, port: str, connections: int, rounds: int) -> None:
    ready = asyncio.Barrier(connections + 1)
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_stream(folder, port, rounds, ready))
        await ready.wait()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        before = time.process_time()
        await ready.wait()
    print(time.process_time() - before, flush=True)


def main(words: list[str]) -> None:
    """Be the server or the client."""
    raise_file_limit()
    with contextlib.suppress(KeyboardInterrupt):
        if words[0] == "server":
            asyncio.run(_serve(Path(words[1])))
        else:
            asyncio.run(_drive(Path(words[1]), words[2], int(words[3]), int(words[4])))


if __name__ == "__main__":
    main(sys.argv[1:])
