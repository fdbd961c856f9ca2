"""enrolment: a first certificate for an agent or an operator: a key made here, a join token, the controller's answer.

The controller is not trusted until the pin in the token has said so, and the token's secret is not sent before.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pybible.v1 import enrollment_pb2, enrollment_pb2_grpc
from pybible.wire.channel import client_credentials, client_options, proxy_options
from pybible.wire.convert import seconds_of
from pybible.wire.errors import AccessDenied, ConnectionFailed, ProtocolError, UsageError
from pybible.wire.identity import CONTROLLER_NAME, JoinToken, Role, public_key_pin
from pybible.wire.keys import NewKey, load_certificate
from pybible.wire.protocol import package_version
from pybible.wire.proxy import check_proxy, connect_through

_SECONDS = 20.0
_LONGEST_PAUSE = 60.0
_AWAY_SECONDS = 5.0
_ANY = ("", "0.0.0.0", "[::]", "*")  # noqa: S104  recognised, not bound


@dataclass(frozen=True, slots=True)
class Address:
    """Where a controller listens."""

    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Address:
        """Read HOST:PORT, brackets around an IPv6 host. UsageError when it is not one."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
            raise UsageError(f"{text!r} is not HOST:PORT")
        return Address(host, int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A new identity: `id` and `name` as the controller has them, PEM, and where to dial from now on (HOST:PORT)."""

    id: str
    name: str
    controller: str
    key: bytes
    certificate: bytes
    authority: bytes


@dataclass(frozen=True, slots=True)
class _Door:
    """The enrolment port, and the proxy on the way to it."""

    address: Address
    proxy: str

    def channel(self, trusted: bytes) -> grpc.Channel:
        options = [*client_options(), *proxy_options(self.proxy)]
        return grpc.secure_channel(str(self.address), client_credentials(authority=trusted), options=options)


def enrol(token: str, *, role: Role, controller: str = "", name: str = "", proxy: str = "") -> Enrolled:
    """Exchange a join token for a certificate. `controller`: HOST:PORT instead of the token's address.

    `proxy`: the URL of an HTTP proxy through which the controller is reached, empty for none.

    Raises UsageError, AccessDenied, ConnectionFailed, ProtocolError; nothing is written anywhere.
    """
    join_token = JoinToken.decode(token)
    door = _Door(Address.parse(controller or join_token.address), check_proxy(proxy))
    authority = _pinned_authority(door, join_token.pin)
    key = NewKey()
    with door.channel(authority) as channel:
        stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
        response = _asked(door, stub.Enroll, _request(key, name, token=join_token.secret))
    if response.state != enrollment_pb2.EnrollResponse.STATE_ISSUED:
        raise ProtocolError("the controller has not decided, although there was a token")
    return _enrolled(door, key, authority, response, role=role)


def wait_to_be_enrolled(
    controller: str,
    *,
    pin: str,
    key: NewKey,
    name: str = "",
    proxy: str = "",
    facts: Mapping[str, str] | None = None,
    waits: Callable[[], None] = lambda: None,
) -> Enrolled:
    """Ask the controller at HOST:PORT without a token, and wait until an operator lets this host in.

    `pin`: the SHA-256 of its authority's public key, hex. `waits` is called once when it has to be waited for.
    Raises UsageError, AccessDenied, ProtocolError; ConnectionFailed only when it could not be reached at first.
    """
    door = _Door(Address.parse(controller), check_proxy(proxy))
    authority = _pinned_authority(door, pin.replace(":", "").lower())
    request = _request(key, name, facts=facts)
    response = _once(door, authority, request)
    if response.state == enrollment_pb2.EnrollResponse.STATE_PENDING:
        waits()
    while response.state != enrollment_pb2.EnrollResponse.STATE_ISSUED:
        time.sleep(max(0.1, min(seconds_of(response.poll_after), _LONGEST_PAUSE)))
        try:
            response = _once(door, authority, request, enrollment_id=response.enrollment_id)
        except ConnectionFailed:
            # It may be away for a while, and then it does not know this host any more.
            time.sleep(_AWAY_SECONDS)
    return _enrolled(door, key, authority, response, role=Role.AGENT)


def _once(
    door: _Door, authority: bytes, request: enrollment_pb2.EnrollRequest, *, enrollment_id: str = ""
) -> enrollment_pb2.EnrollResponse:
    """Ask once; anew when the controller knows of no such request any more."""
    with door.channel(authority) as channel:
        stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
        if enrollment_id:
            poll = enrollment_pb2.PollEnrollmentRequest(enrollment_id=enrollment_id, csr=request.csr)
            try:
                return _asked(door, stub.PollEnrollment, poll)
            except _Unknown:
                pass
        return _asked(door, stub.Enroll, request)


def _enrolled(
    door: _Door, key: NewKey, authority: bytes, response: enrollment_pb2.EnrollResponse, *, role: Role
) -> Enrolled:
    certified = key.check(response.certificate, x509.load_pem_x509_certificate(authority), role=role)
    return Enrolled(
        id=certified.id,
        name=response.name,
        controller=_reachable(_address_for(role, response), door.address),
        key=key.pem,
        certificate=response.certificate,
        authority=authority,
    )


def _pinned_authority(door: _Door, pin: str) -> bytes:
    """Return the controller's CA certificate, PEM, once the token's pin has vouched for it."""
    address = door.address
    presented = _presented(door)
    # Trusts what was presented, whoever it is, for the one question that needs no trust.
    with door.channel(presented) as channel:
        stub = enrollment_pb2_grpc.EnrollmentServiceStub(channel)
        try:
            answer = stub.GetAuthority(enrollment_pb2.GetAuthorityRequest(), timeout=_SECONDS)
        except grpc.RpcError as error:
            raise _unreachable(address, error) from error
    if not isinstance(answer, enrollment_pb2.GetAuthorityResponse):
        raise ProtocolError(f"{address} sends what can't be read")
    try:
        authority = load_certificate(answer.authority)
        found = public_key_pin(authority)
    except ValueError as error:
        raise ProtocolError(f"{address} sent no certificate of an authority") from error
    if found != pin:
        raise AccessDenied(
            f"{address} is not the controller that the token is for: its authority's key does not match the pin",
            hint="Nothing was sent and nothing was written. Check the address, and get a new token if it is right.",
        )
    pinned = authority.public_bytes(serialization.Encoding.PEM)
    _presented(door, trusted=pinned)
    return pinned


def _presented(door: _Door, *, trusted: bytes = b"") -> bytes:
    """Return the certificate that the controller shows, PEM, without any trust in it.

    `trusted`: the authority (PEM) by which it must be vouched for, else AccessDenied.
    """
    address = door.address
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if trusted:
        context.load_verify_locations(cadata=trusted.decode("ascii"))
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            connect_through(door.proxy, address.host.strip("[]"), address.port, seconds=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=CONTROLLER_NAME) as wrapped,
        ):
            certificate = wrapped.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as error:
        raise AccessDenied(
            f"{address} shows a certificate that its authority did not issue: somebody is in between",
            hint="Nothing was sent and nothing was written.",
        ) from error
    except ssl.SSLError as error:
        raise ConnectionFailed(f"{address} does not speak TLS as an enrolment port does: {error.reason}") from error
    except OSError as error:
        raise ConnectionFailed(f"can't reach {address}: {error.strerror or error}") from error
    if certificate is None:
        raise ProtocolError(f"{address} shows no certificate")
    return ssl.DER_cert_to_PEM_cert(certificate).encode()


def _request(
    key: NewKey, name: str, *, token: str = "", facts: Mapping[str, str] | None = None
) -> enrollment_pb2.EnrollRequest:
    hostname = socket.gethostname()
    return enrollment_pb2.EnrollRequest(
        token=token,
        csr=key.request(),
        name=name or hostname,
        hostname=hostname,
        version=package_version(),
        facts=facts or {},
    )


class _Unknown(Exception):
    """The controller knows of no such request."""


def _asked(
    door: _Door,
    call: Callable[..., enrollment_pb2.EnrollResponse],
    request: enrollment_pb2.EnrollRequest | enrollment_pb2.PollEnrollmentRequest,
) -> enrollment_pb2.EnrollResponse:
    try:
        response = call(request, timeout=_SECONDS)
    except grpc.RpcError as error:
        is_poll = isinstance(request, enrollment_pb2.PollEnrollmentRequest)
        if is_poll and getattr(error, "code", lambda: None)() is grpc.StatusCode.NOT_FOUND:
            raise _Unknown from error
        raise _unreachable(door.address, error) from error
    if not isinstance(response, enrollment_pb2.EnrollResponse):
        raise ProtocolError(f"{door.address} sends what can't be read")
    if response.state == enrollment_pb2.EnrollResponse.STATE_DENIED:
        raise AccessDenied(f"the controller does not enrol this host: {response.message}")
    return response


def _unreachable(address: Address, error: grpc.RpcError) -> ConnectionFailed:
    details = getattr(error, "details", lambda: str(error))()
    return ConnectionFailed(f"can't enrol with {address}: {details}")


def _address_for(role: Role, response: enrollment_pb2.EnrollResponse) -> str:
    if role is Role.AGENT:
        return response.agent_address
    # One that has no such field serves operators where agents are.
    return response.operator_address or response.agent_address


def _reachable(agent_address: str, dialled: Address) -> str:
    """Return where to dial from now on: a controller that listens everywhere is where it was just found."""
    host, _, port = agent_address.rpartition(":")
    return f"{dialled.host}:{port}" if host in _ANY else agent_address
