"""fake_controller: the controller's end of Attach and of the blob store, on a real port, driven by a test by hand."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pybible.agent import state
from pybible.v1 import agent_pb2, agent_pb2_grpc, blob_pb2, blob_pb2_grpc
from pybible.wire.channel import server_credentials, server_options
from pybible.wire.identity import CONTROLLER_NAME
from pybible.wire.values import JsonObject

SECONDS = 20.0

Verdicts = Callable[[agent_pb2.Hello], Mapping[str, agent_pb2.Verdict.Decision.ValueType]]


def adopt_or_drop(hello: agent_pb2.Hello) -> dict[str, agent_pb2.Verdict.Decision.ValueType]:
    """Adopt what runs or is finished, drop what was interrupted."""
    drop, adopt = agent_pb2.Verdict.DECISION_DROP, agent_pb2.Verdict.DECISION_ADOPT
    return {
        entry.attempt_id: drop if entry.state == agent_pb2.JournalEntry.STATE_INTERRUPTED else adopt
        for entry in hello.journal
    }


class FakeAuthority:
    """A CA that lives as long as a test."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        builder = self._builder(self._name).public_key(self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: x509.GeneralName) -> tuple[bytes, bytes]:
        """Return a key and a certificate, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem, self.certify(key.public_key(), name)

    def certify(self, key: ec.EllipticCurvePublicKey, name: x509.GeneralName) -> bytes:
        """Return a certificate for that key, PEM."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        builder = self._builder(subject).public_key(key)
        builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _builder(self, subject: x509.Name) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
        )


class FakeSession:
    """One stream: what the agent said on it, and what the test answers."""

    def __init__(
        self,
        hello: agent_pb2.Hello,
        call: grpc.aio.ServicerContext[agent_pb2.AgentMessage, agent_pb2.ControllerMessage],
        epoch: int,
    ) -> None:
        self.hello = hello
        self.epoch = epoch
        self.received: list[agent_pb2.AgentMessage] = []
        self.ended = asyncio.Event()
        self.answer_heartbeats = True
        self.peer = call.peer()
        self._call = call
        self._writing = asyncio.Lock()
        self._news = asyncio.Condition()
        self._looked = 0
        self._close = asyncio.Event()

    async def send(self, **message: object) -> None:
        """Send one message, e.g. drain=Drain()."""
        async with self._writing:
            await self._call.write(agent_pb2.ControllerMessage(**message))  # type: ignore[arg-type]

    async def dispatch(self, attempt_id: str, module: str, *, epoch: int | None = None, **task: object) -> None:
        """Send a task; `args` is a mapping."""
        spec = agent_pb2.TaskSpec(module=module, args=json.dumps(task.pop("args", {})).encode())
        timeout = task.pop("timeout", None)
        if isinstance(timeout, float | int):
            spec.timeout.FromTimedelta(timedelta(seconds=timeout))
        spec.MergeFrom(agent_pb2.TaskSpec(**task))  # type: ignore[arg-type]
        await self.send(
            dispatch=agent_pb2.Dispatch(attempt_id=attempt_id, epoch=self.epoch if epoch is None else epoch, task=spec)
        )

    async def expect(self, kind: str, attempt_id: str = "") -> agent_pb2.AgentMessage:
        """Return the next message of that kind (and attempt), passing over others."""
        async with asyncio.timeout(SECONDS), self._news:
            while True:
                while self._looked < len(self.received):
                    message = self.received[self._looked]
                    self._looked += 1
                    if message.WhichOneof("message") == kind:
                        found = getattr(message, kind)
                        if not attempt_id or found.attempt_id == attempt_id:
                            return message
                await self._news.wait()

    async def result(self, attempt_id: str) -> tuple[JsonObject, str]:
        """Return an attempt's inline result and its reason."""
        message = await self.expect("result", attempt_id)
        found: JsonObject = json.loads(message.result.inline)
        return found, message.result.reason

    async def ack(self, *attempt_ids: str) -> None:
        """Acknowledge results."""
        await self.send(ack=agent_pb2.Ack(attempt_ids=attempt_ids))

    def kinds(self) -> list[str]:
        """Return what was received, without heartbeats."""
        found = [message.WhichOneof("message") or "" for message in self.received]
        return [kind for kind in found if kind != "heartbeat"]

    def close(self) -> None:
        """End the stream."""
        self._close.set()

    async def serve(self) -> None:
        """Read until the stream ends."""
        closing = asyncio.ensure_future(self._close.wait())
        try:
            while True:
                reading = asyncio.ensure_future(self._call.read())
                await asyncio.wait((reading, closing), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    return
                message: object = reading.result()
                if not isinstance(message, agent_pb2.AgentMessage):
                    return
                if message.HasField("heartbeat") and self.answer_heartbeats:
                    sequence = message.heartbeat.sequence
                    await self.send(heartbeat_ack=agent_pb2.HeartbeatAck(sequence=sequence))
                async with self._news:
                    self.received.append(message)
                    self._news.notify_all()
        finally:
            closing.cancel()
            self.ended.set()


class FakeController(agent_pb2_grpc.AgentServiceServicer, blob_pb2_grpc.BlobServiceServicer):
    """Accepts agents. `interval` and `lease` in seconds; `verdicts` says what becomes of journal entries."""

    def __init__(self, authority: FakeAuthority) -> None:
        self.authority = authority
        self.address = ""
        self.interval = 0.5
        self.lease = 10.0
        self.deny: agent_pb2.Deny | None = None
        self.contents: dict[str, bytes] = {}
        # The store breaks off after so many bytes, once.
        self.break_after = 0
        self.gets: list[int] = []
        self.renewed = 0
        # The connection over which it was asked for last.
        self.renewed_over = ""
        self.verdicts: Verdicts = adopt_or_drop
        self._epoch = 0
        self._sessions: asyncio.Queue[FakeSession] = asyncio.Queue()

    async def session(self) -> FakeSession:
        """Return the next session that an agent opens."""
        async with asyncio.timeout(SECONDS):
            return await self._sessions.get()

    def enrol(self, folder: Path, name: str = "web01", *, renew_at: float = 0.0) -> Path:
        """Write an identity to a state folder."""
        key, certificate = self.authority.issue(x509.UniformResourceIdentifier(f"pybible://agent/id-of-{name}"))
        state.prepare(folder)
        state.save_identity(
            folder,
            state.AgentIdentity(
                id=f"id-of-{name}",
                name=name,
                controller=self.address,
                key=key,
                certificate=certificate,
                authority=self.authority.pem,
                renew_at=renew_at,
            ),
        )
        return folder

    def store(self, content: bytes) -> str:
        """Put content into the blob store."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.contents[sha256] = content
        return sha256

    async def Attach(  # type: ignore[override]  # written with context.write
        self,
        request_iterator: AsyncIterator[agent_pb2.AgentMessage],
        context: grpc.aio.ServicerContext[agent_pb2.AgentMessage, agent_pb2.ControllerMessage],
    ) -> None:
        """Welcome whoever says Hello."""
        first = await context.read()
        assert isinstance(first, agent_pb2.AgentMessage)
        assert first.HasField("hello")
        if self.deny is not None:
            await context.write(agent_pb2.ControllerMessage(deny=self.deny))
            return
        self._epoch += 1
        session = FakeSession(first.hello, context, self._epoch)
        welcome = agent_pb2.Welcome(session_id="s", epoch=self._epoch, protocol=1, name="web01")
        welcome.heartbeat_interval.FromTimedelta(timedelta(seconds=self.interval))
        welcome.lease.FromTimedelta(timedelta(seconds=self.lease))
        for attempt_id, decision in self.verdicts(first.hello).items():
            welcome.verdicts.add(attempt_id=attempt_id, decision=decision)
        await session.send(welcome=welcome)
        self._sessions.put_nowait(session)
        await session.serve()

    async def FindMissing(
        self,
        request: blob_pb2.FindMissingRequest,
        context: grpc.aio.ServicerContext[blob_pb2.FindMissingRequest, blob_pb2.FindMissingResponse],
    ) -> blob_pb2.FindMissingResponse:
        """Say what is not here."""
        return blob_pb2.FindMissingResponse(sha256=[name for name in request.sha256 if name not in self.contents])

    async def RenewCertificate(
        self,
        request: agent_pb2.RenewCertificateRequest,
        context: grpc.aio.ServicerContext[agent_pb2.RenewCertificateRequest, agent_pb2.RenewCertificateResponse],
    ) -> agent_pb2.RenewCertificateResponse:
        """Certify the new key."""
        key = x509.load_pem_x509_csr(request.csr).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        certificate = self.authority.certify(key, x509.UniformResourceIdentifier("pybible://agent/id-of-web01"))
        self.renewed += 1
        self.renewed_over = context.peer()
        return agent_pb2.RenewCertificateResponse(certificate=certificate, authority=self.authority.pem)

    async def Get(  # type: ignore[override]  # written with context.write
        self,
        request: blob_pb2.GetRequest,
        context: grpc.aio.ServicerContext[blob_pb2.GetRequest, blob_pb2.GetResponse],
    ) -> None:
        """Send content from an offset on."""
        self.gets.append(request.offset)
        content = self.contents.get(request.sha256)
        if content is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such blob")
        part = content[request.offset :]
        if self.break_after:
            broken, self.break_after = part[: self.break_after], 0
            await context.write(blob_pb2.GetResponse(size=len(content), data=broken))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the store went away")
        for at in range(0, len(part), 1 << 18):
            await context.write(blob_pb2.GetResponse(size=len(content), data=part[at : at + (1 << 18)]))

    async def Put(
        self,
        request_iterator: AsyncIterator[blob_pb2.PutRequest],
        context: grpc.aio.ServicerContext[blob_pb2.PutRequest, blob_pb2.PutResponse],
    ) -> blob_pb2.PutResponse:
        """Keep content."""
        parts = [request async for request in request_iterator]
        content = b"".join(part.data for part in parts)
        assert hashlib.sha256(content).hexdigest() == parts[0].sha256
        assert len(content) == parts[0].size
        self.contents[parts[0].sha256] = content
        return blob_pb2.PutResponse()


@asynccontextmanager
async def fake_controller(*interceptors: grpc.aio.ServerInterceptor) -> AsyncIterator[FakeController]:
    """Serve one on a free port of the loopback interface."""
    authority = FakeAuthority()
    fake = FakeController(authority)
    server = grpc.aio.server(interceptors=interceptors, options=server_options())
    agent_pb2_grpc.add_AgentServiceServicer_to_server(fake, server)
    blob_pb2_grpc.add_BlobServiceServicer_to_server(fake, server)
    key, certificate = authority.issue(x509.DNSName(CONTROLLER_NAME))
    credentials = server_credentials(key=key, certificate=certificate, client_authority=authority.pem)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    fake.address = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(0)
