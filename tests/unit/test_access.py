"""test_access: every rpc has a row in the access table, and every row an rpc."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Never

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from pybible.server.controller.local_users import LocalUser
from pybible.server.controller.pki.allowed import AllowedCertificates
from pybible.server.controller.pki.authority import Authority, Issued, open_authority
from pybible.server.controller.services.access import ACCESS, READINESS, Access
from pybible.server.controller.store.certificates import CertificateRecord
from pybible.server.controller.tickets import Tickets
from pybible.v1 import agent_pb2, blob_pb2, enrollment_pb2, fleet_pb2, run_pb2
from pybible.wire.identity import Identity, OperatorRole, Role
from pybible.wire.tickets import METADATA_KEY

AGENT = Identity(Role.AGENT, "0b6f0f5e-5b8a-4d2b-9f0e-1f1d5f5a2c11")
OPERATOR = Identity(Role.OPERATOR, "alice")


class Aborted(Exception):
    """What a call ends with."""


class Call:
    """A call as gRPC shows it to a servicer."""

    def __init__(
        self, certificate: bytes | None = None, *, peer: str = "ipv4:192.0.2.1:4000", ticket: str | None = None
    ) -> None:
        self._certificate = certificate
        self._peer = peer
        self._ticket = ticket

    def peer(self) -> str:
        return self._peer

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        if self._certificate is None:
            return {}
        # Of a chain gRPC gives the caller's own.
        own, end, _chain = self._certificate.partition(b"-----END CERTIFICATE-----\n")
        return {"x509_pem_cert": [own + end]}

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        return None if self._ticket is None else (("user-agent", "x"), (METADATA_KEY, self._ticket))

    async def abort(self, code: grpc.StatusCode, details: str = "") -> Never:
        raise Aborted(f"{code.name}: {details}")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return open_authority(tmp_path / "pki")


def issue(authority: Authority, identity: Identity) -> Issued:
    return authority.issue(identity, ec.generate_private_key(ec.SECP256R1()).public_key(), timedelta(days=7))


def record(issued: Issued, operator_role: OperatorRole | None = None) -> CertificateRecord:
    return CertificateRecord(
        serial=issued.serial,
        fingerprint=issued.fingerprint,
        issuer=issued.issuer,
        identity=issued.identity,
        issued=issued.issued,
        expires=issued.expires,
        operator_role=operator_role,
    )


def methods(*files: FileDescriptor) -> set[str]:
    return {
        f"{service.full_name}/{method.name}"
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }


def test_every_rpc_has_a_row_and_every_row_an_rpc() -> None:
    served = methods(
        agent_pb2.DESCRIPTOR,
        blob_pb2.DESCRIPTOR,
        enrollment_pb2.DESCRIPTOR,
        fleet_pb2.DESCRIPTOR,
        run_pb2.DESCRIPTOR,
        health_pb2.DESCRIPTOR,
        reflection_pb2.DESCRIPTOR,
    )
    assert set(ACCESS) == served


def test_nobody_but_agents_and_operators_with_a_role_may_call_anything() -> None:
    assert {role for roles in ACCESS.values() for role in roles} == {Role.AGENT, *OperatorRole, None}


def test_admins_may_call_all_that_any_operator_may() -> None:
    for method, roles in ACCESS.items():
        assert not roles & set(OperatorRole) or OperatorRole.ADMIN in roles, method


@pytest.mark.parametrize("method", sorted(ACCESS))
@pytest.mark.parametrize("role", [None, *OperatorRole], ids=str)
async def test_a_role_may_call_what_its_row_says_and_nothing_else(
    authority: Authority, role: OperatorRole | None, method: str
) -> None:
    identity = OPERATOR if role else AGENT
    issued = issue(authority, identity)
    access = Access(AllowedCertificates([record(issued, role)]))
    call = Call(issued.pem)
    if (role or Role.AGENT) in ACCESS[method]:
        caller = await access.require(call, method)
        assert (caller.identity, caller.serial, caller.address) == (identity, issued.serial, "192.0.2.1:4000")
    else:
        with pytest.raises(Aborted, match=f"PERMISSION_DENIED: an? {role or Role.AGENT} may not call"):
            await access.require(call, method)


@pytest.mark.parametrize("method", sorted(ACCESS))
async def test_an_operators_certificate_without_a_role_is_good_for_nothing(authority: Authority, method: str) -> None:
    issued = issue(authority, OPERATOR)
    with pytest.raises(Aborted, match="PERMISSION_DENIED: an operator may not call"):
        await Access(AllowedCertificates([record(issued)])).require(Call(issued.pem), method)


@pytest.mark.parametrize("method", sorted(ACCESS))
async def test_a_caller_without_a_certificate_may_call_nothing(method: str) -> None:
    with pytest.raises(Aborted, match="UNAUTHENTICATED: this call needs a certificate"):
        await Access(AllowedCertificates()).require(Call(), method)


async def test_an_rpc_without_a_row_is_denied_to_all(authority: Authority) -> None:
    issued = issue(authority, OPERATOR)
    access = Access(AllowedCertificates([record(issued)]))
    with pytest.raises(Aborted, match="PERMISSION_DENIED"):
        await access.require(Call(issued.pem), "pybible.v1.FleetService/Later")


async def test_a_certificate_that_is_not_on_the_list_is_refused(authority: Authority) -> None:
    with pytest.raises(Aborted, match=r"UNAUTHENTICATED: .* is revoked, or was never issued here"):
        await Access(AllowedCertificates()).require(Call(issue(authority, AGENT).pem), "pybible.v1.AgentService/Attach")


async def test_a_revoked_identity_is_refused_with_all_its_certificates(authority: Authority) -> None:
    first, second = issue(authority, AGENT), issue(authority, AGENT)
    allowed = AllowedCertificates([record(first), record(second)])
    allowed.revoke(AGENT)
    for issued in (first, second):
        with pytest.raises(Aborted, match="UNAUTHENTICATED"):
            await Access(allowed).require(Call(issued.pem), "pybible.v1.AgentService/Attach")


async def test_a_serial_number_that_was_copied_does_not_get_in(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = issue(authority, AGENT)
    # Whoever has the key of the issuing authority can certify any key under any number.
    monkeypatch.setattr(x509, "random_serial_number", lambda: issued.serial)
    forged = issue(authority, AGENT)
    assert forged.serial == issued.serial
    access = Access(AllowedCertificates([record(issued)]))
    assert (await access.require(Call(issued.pem), "pybible.v1.AgentService/Attach")).identity == AGENT
    with pytest.raises(Aborted, match=r"UNAUTHENTICATED: .* is revoked, or was never issued here"):
        await access.require(Call(forged.pem), "pybible.v1.AgentService/Attach")


async def test_a_certificate_that_expires_while_its_connection_lives_is_refused(authority: Authority) -> None:
    issued = issue(authority, AGENT)
    access = Access(AllowedCertificates([record(issued)]), now=lambda: issued.expires + 1)
    with pytest.raises(Aborted, match=r"UNAUTHENTICATED: .* has expired"):
        await access.require(Call(issued.pem), "pybible.v1.AgentService/Attach")


def ada(role: OperatorRole) -> LocalUser:
    return LocalUser(uid=1001, pid=77, name="ada", role=role)


@pytest.mark.parametrize("method", sorted(ACCESS))
@pytest.mark.parametrize("role", list(OperatorRole), ids=str)
async def test_a_ticket_is_worth_its_users_role(role: OperatorRole, method: str) -> None:
    tickets = Tickets()
    access = Access(AllowedCertificates(), tickets=tickets)
    call = Call(peer="unix:", ticket=tickets.issue(ada(role)))
    if role in ACCESS[method]:
        caller = await access.require(call, method)
        assert (caller.identity, caller.serial) == (Identity(Role.OPERATOR, "unix:ada"), None)
        assert caller.address == "unix uid=1001 pid=77"
    else:
        with pytest.raises(Aborted, match=f"PERMISSION_DENIED: an? {role} may not call"):
            await access.require(call, method)


@pytest.mark.parametrize("method", sorted(ACCESS.keys() - READINESS))
@pytest.mark.parametrize("ticket", [None, "", "guessed"])
async def test_the_socket_alone_lets_nobody_do_anything(ticket: str | None, method: str) -> None:
    tickets = Tickets()
    tickets.forget(tickets.issue(ada(OperatorRole.ADMIN)))
    with pytest.raises(Aborted, match=r"UNAUTHENTICATED: .* ticket"):
        await Access(AllowedCertificates(), tickets=tickets).require(Call(peer="unix:", ticket=ticket), method)


async def test_whether_the_controller_is_ready_anybody_on_the_socket_may_ask() -> None:
    caller = await Access(AllowedCertificates()).require(Call(peer="unix:"), "grpc.health.v1.Health/Check")
    assert (caller.operator_role, caller.identity.id) == (None, "")


async def test_a_ticket_is_good_on_the_socket_only() -> None:
    tickets = Tickets()
    call = Call(ticket=tickets.issue(ada(OperatorRole.ADMIN)))
    with pytest.raises(Aborted, match="UNAUTHENTICATED: this call needs a certificate"):
        await Access(AllowedCertificates(), tickets=tickets).require(call, "pybible.v1.FleetService/WhoAmI")
