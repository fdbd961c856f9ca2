"""test_enrolment_attacks: who asks for more than his token gives, and who stands between a host and its controller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pybible.agent.enroll import join, join_by_request
from pybible.v1 import agent_pb2, agent_pb2_grpc, enrollment_pb2, enrollment_pb2_grpc
from pybible.wire.channel import server_credentials, server_options
from pybible.wire.enrolment import enrol
from pybible.wire.errors import AccessDenied
from pybible.wire.identity import CONTROLLER_NAME, Identity, JoinToken, Role
from tests.support.controller import RunningController, controller
from tests.support.fake_controller import FakeAuthority

DENIED = enrollment_pb2.EnrollResponse.STATE_DENIED
ISSUED = enrollment_pb2.EnrollResponse.STATE_ISSUED

A_NAME = "the certificate request asks for a name: it may hold a key and nothing else"
AN_AUTHORITY = "the certificate request asks for the certificate of an authority: it may hold a key and nothing else"
EXTENSIONS = "the certificate request asks for extensions: it may hold a key and nothing else"


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


OTHER = x509.UniformResourceIdentifier(Identity(Role.OPERATOR, "root").uri)
WISHES: dict[str, tuple[x509.Name, x509.ExtensionType | None, str]] = {
    "another name as subject": (common_name("operator root"), None, A_NAME),
    "another identity": (x509.Name([]), x509.SubjectAlternativeName([OTHER]), A_NAME),
    "the controller's name": (x509.Name([]), x509.SubjectAlternativeName([x509.DNSName(CONTROLLER_NAME)]), A_NAME),
    "to be an authority": (x509.Name([]), x509.BasicConstraints(ca=True, path_length=None), AN_AUTHORITY),
    "to sign certificates": (x509.Name([]), usage(signs=True), AN_AUTHORITY),
    "to be a server": (x509.Name([]), x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), EXTENSIONS),
}
wishes = pytest.mark.parametrize(("subject", "extension", "reason"), WISHES.values(), ids=list(WISHES))


def request(subject: x509.Name, extension: x509.ExtensionType | None) -> bytes:
    """Return a certificate request that asks for something, PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if extension is not None:
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


@wishes
async def test_a_certificate_request_that_asks_for_anything_is_refused_and_the_token_keeps_its_use(
    tmp_path: Path, subject: x509.Name, extension: x509.ExtensionType | None, reason: str
) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token()
        csr = request(subject, extension)
        for given in (token, ""):
            answer = await running.ask_to_enrol(given, csr=csr)
            assert (answer.state, answer.message, answer.certificate) == (DENIED, reason, b"")
        assert (await running.enrol("web01", token=token)).name == "web01"


@wishes
async def test_nor_does_an_agent_get_more_by_renewing(
    tmp_path: Path, subject: x509.Name, extension: x509.ExtensionType | None, reason: str
) -> None:
    async with controller(tmp_path) as running:
        agent = await running.enrol("web01")
        async with running.channel(agent) as channel:
            asked = agent_pb2.RenewCertificateRequest(csr=request(subject, extension))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await agent_pb2_grpc.AgentServiceStub(channel).RenewCertificate(asked, timeout=10)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


@dataclass(slots=True)
class Between(enrollment_pb2_grpc.EnrollmentServiceServicer):
    """Answers in a controller's place, with `authority` (PEM) for the question about it, and keeps what it hears."""

    authority: bytes
    heard: list[enrollment_pb2.EnrollRequest] = field(default_factory=list)

    async def GetAuthority(
        self,
        request: enrollment_pb2.GetAuthorityRequest,
        context: grpc.aio.ServicerContext[enrollment_pb2.GetAuthorityRequest, enrollment_pb2.GetAuthorityResponse],
    ) -> enrollment_pb2.GetAuthorityResponse:
        return enrollment_pb2.GetAuthorityResponse(authority=self.authority)

    async def Enroll(
        self,
        request: enrollment_pb2.EnrollRequest,
        context: grpc.aio.ServicerContext[enrollment_pb2.EnrollRequest, enrollment_pb2.EnrollResponse],
    ) -> enrollment_pb2.EnrollResponse:
        self.heard.append(request)
        return enrollment_pb2.EnrollResponse(state=DENIED)

    async def PollEnrollment(
        self,
        request: enrollment_pb2.PollEnrollmentRequest,
        context: grpc.aio.ServicerContext[enrollment_pb2.PollEnrollmentRequest, enrollment_pb2.EnrollResponse],
    ) -> enrollment_pb2.EnrollResponse:
        self.heard.append(enrollment_pb2.EnrollRequest(csr=request.csr))
        return enrollment_pb2.EnrollResponse(state=DENIED)


@asynccontextmanager
async def between(own: FakeAuthority, servicer: Between) -> AsyncIterator[str]:
    """Listen as the man in the middle, with a certificate of his own authority. Yields HOST:PORT."""
    key, certificate = own.issue(x509.DNSName(CONTROLLER_NAME))
    server = grpc.aio.server(options=server_options())
    enrollment_pb2_grpc.add_EnrollmentServiceServicer_to_server(servicer, server)
    port = server.add_secure_port(
        "127.0.0.1:0", server_credentials(key=key, certificate=certificate, client_authority=None)
    )
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def everybody_is_refused(running: RunningController, address: str, folder: Path, *, match: str) -> None:
    """Enrol at `address` in every way there is: as an agent, by request, as an operator."""
    token = await running.controller.create_token()
    pin = JoinToken.decode(token).pin
    with pytest.raises(AccessDenied, match=match):
        await asyncio.to_thread(join, folder / "a", token=token, controller=address, name="web01")
    with pytest.raises(AccessDenied, match=match):
        await asyncio.to_thread(
            join_by_request, folder / "b", controller=address, pin=pin, waits=lambda _: None, name="web01"
        )
    with pytest.raises(AccessDenied, match=match):
        await asyncio.to_thread(enrol, token, role=Role.OPERATOR, controller=address, name="ada")
    # Nothing of it was sent: the token is good still.
    assert (await running.enrol("web01", token=token)).name == "web01"


async def test_a_man_in_the_middle_with_his_own_authority_is_refused(tmp_path: Path) -> None:
    own = FakeAuthority()
    servicer = Between(own.pem)
    async with controller(tmp_path) as running, between(own, servicer) as address:
        await everybody_is_refused(running, address, tmp_path, match="its authority's key does not match the pin")
    assert servicer.heard == []


async def test_nor_does_it_help_him_to_show_the_true_authority(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        servicer = Between(running.controller.authority_pem)
        async with between(FakeAuthority(), servicer) as address:
            await everybody_is_refused(running, address, tmp_path, match="somebody is in between")
        assert servicer.heard == []
