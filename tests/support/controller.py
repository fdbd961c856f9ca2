"""controller: a real controller in this process, on free ports of the loopback interface, and identities for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pybible.server.controller.config import ControllerConfig, load_config
from pybible.server.controller.daemon import Controller
from pybible.server.controller.local_users import LocalUser, LocalUsers, Peer
from pybible.v1 import agent_pb2, agent_pb2_grpc, enrollment_pb2, enrollment_pb2_grpc, run_pb2, run_pb2_grpc
from pybible.wire.channel import client_credentials, client_options, ticket_credentials, unix_target
from pybible.wire.identity import Identity, JoinToken, OperatorRole, Role, certificate_identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A key with its certificate (PEM), and whom it speaks for."""

    name: str
    key: bytes
    certificate: bytes
    authority: bytes

    @property
    def identity(self) -> Identity:
        """Whom the certificate names."""
        found = certificate_identity(x509.load_pem_x509_certificate(self.certificate))
        assert found is not None
        return found


class RunningController:
    """A controller, and the channels to its ports."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    @property
    def agent_address(self) -> str:
        """HOST:PORT of AgentService."""
        return self.controller.agent_address

    @property
    def enroll_address(self) -> str:
        """HOST:PORT of EnrollmentService."""
        return self.controller.enroll_address

    @property
    def operator_address(self) -> str:
        """HOST:PORT for operators with a certificate."""
        return self.controller.operator_address

    @property
    def socket_path(self) -> Path:
        """The operators' socket."""
        return self.controller.socket_path

    async def enrol(self, name: str = "web01", *, operator_role: OperatorRole | None = None, token: str = "") -> Holder:
        """Enrol a new identity over the real port, with a token made for it unless one is given."""
        token = token or await self.controller.create_token(operator_role=operator_role)
        key, csr = key_and_request()
        response = await self.ask_to_enrol(token, csr=csr, name=name)
        assert response.state == enrollment_pb2.EnrollResponse.STATE_ISSUED, response.message
        return Holder(name=response.name, key=key, certificate=response.certificate, authority=response.authority)

    async def renew(self, holder: Holder) -> Holder:
        """Get an agent another certificate, over another key, as it does itself."""
        key, csr = key_and_request()
        async with self.channel(holder) as channel:
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            answer = await stub.RenewCertificate(agent_pb2.RenewCertificateRequest(csr=csr))
        return Holder(name=holder.name, key=key, certificate=answer.certificate, authority=holder.authority)

    async def ask_to_enrol(self, token: str, *, csr: bytes, name: str = "web01") -> enrollment_pb2.EnrollResponse:
        """Send one Enroll and return what came back."""
        secret = JoinToken.decode(token).secret if token else ""
        async with self.enrollment_channel() as channel:
            stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
            return await stub.Enroll(
                enrollment_pb2.EnrollRequest(token=secret, csr=csr, name=name, hostname=name, version="0")
            )

    async def runs(self) -> list[run_pb2.RunSummary]:
        """Return the runs that the controller lists."""
        async with self.operator_channel() as channel:
            return list((await run_pb2_grpc.RunServiceStub(channel).ListRuns(run_pb2.ListRunsRequest())).runs)

    def enrollment_channel(self) -> grpc.aio.Channel:
        """Open a channel to the enrolment port."""
        credentials = client_credentials(authority=self.controller.authority_pem)
        return grpc.aio.secure_channel(self.enroll_address, credentials, options=_options())

    def channel(self, holder: Holder, *, address: str = "") -> grpc.aio.Channel:
        """Open a channel with a certificate, to the port of those who have such unless another one is given."""
        credentials = client_credentials(authority=holder.authority, key=holder.key, certificate=holder.certificate)
        address = address or (self.agent_address if holder.identity.role is Role.AGENT else self.operator_address)
        return grpc.aio.secure_channel(address, credentials, options=_options())

    def channel_of(self, operator: Holder | LocalUser | None) -> grpc.aio.Channel:
        """Open a channel with an operator's certificate, or to the socket as some user of this machine."""
        return self.channel(operator) if isinstance(operator, Holder) else self.operator_channel(operator)

    def operator_channel(self, user: LocalUser | None = None) -> grpc.aio.Channel:
        """Open a channel to the operators' socket, as its owner unless another user is given."""
        ticket = self.controller._parts.tickets.issue(user) if user else self.controller.own_ticket()
        credentials = ticket_credentials(lambda: ticket)
        return grpc.aio.secure_channel(unix_target(self.socket_path), credentials, options=_options())


def _options() -> list[tuple[str, int | str]]:
    return [*client_options(), ("grpc.enable_http_proxy", 0)]


def local_operator() -> str:
    """Return what a controller calls whoever runs the tests, on its socket."""
    return LocalUsers().find(Peer(pid=0, uid=os.geteuid(), gid=os.getegid())).operator


def key_and_request(key: ec.EllipticCurvePrivateKey | None = None) -> tuple[bytes, bytes]:
    """Return a key and a certificate request over it, PEM."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, request.public_bytes(serialization.Encoding.PEM)


def loopback_config(state: Path, **settings: object) -> ControllerConfig:
    """Return settings for a test: free ports, a quick end."""
    given: dict[str, object] = {
        "listen": "127.0.0.1:0",
        "enroll_listen": "127.0.0.1:0",
        "operators_listen": "127.0.0.1:0",
        # A socket's path must be short, and a test's folder is not.
        "socket": str(state / "s.sock"),
        "drain_timeout": 2.0,
        **settings,
    }
    return load_config(state, flags=given)


@asynccontextmanager
async def controller(folder: Path, **settings: object) -> AsyncIterator[RunningController]:
    """Run a controller with its state in `folder`/controller. `settings` are those of its configuration file."""
    async with Controller.start(loopback_config(folder / "controller", **settings)) as started:
        yield RunningController(started)
