"""test_every_rpc: who gets in where. Every rpc of every service, on every port, with every kind of certificate.

What is allowed stands below, written by hand: nothing of it is taken from the controller's own table.
"""

from __future__ import annotations

import datetime
import importlib
import pkgutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import pybible.v1
from pybible.server.controller.local_users import LocalUser
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.channel import client_credentials, client_options, ticket_credentials, unix_target
from pybible.wire.identity import OperatorRole
from tests.support.controller import Holder, RunningController, controller

# "-": not served on that port. "elsewhere": neither, and whoever is known is told where it is.
# "operators": each of the four roles. "anybody": with or without a certificate or ticket.
TABLE = """
rpc                                            | agents' port | operators' port | operators' socket | enrolment port
pybible.v1.AgentService/Attach                 | agent        | elsewhere       | -                 | -
pybible.v1.AgentService/RenewCertificate       | agent        | elsewhere       | -                 | -
pybible.v1.BlobService/FindMissing             | agent        | runner admin    | runner admin      | -
pybible.v1.BlobService/Put                     | agent        | runner admin    | runner admin      | -
pybible.v1.BlobService/Get                     | agent        | runner admin    | runner admin      | -
pybible.v1.EnrollmentService/GetAuthority      | -            | -               | -                 | anybody
pybible.v1.EnrollmentService/Enroll            | -            | -               | -                 | anybody
pybible.v1.EnrollmentService/PollEnrollment    | -            | -               | -                 | anybody
pybible.v1.FleetService/ListAgents             | elsewhere    | operators       | operators         | -
pybible.v1.FleetService/GetAgent               | elsewhere    | operators       | operators         | -
pybible.v1.FleetService/GetFacts               | elsewhere    | operators       | operators         | -
pybible.v1.FleetService/RemoveAgent            | elsewhere    | admin           | admin             | -
pybible.v1.FleetService/RevokeAgent            | elsewhere    | admin           | admin             | -
pybible.v1.FleetService/ListOperators          | elsewhere    | operators       | operators         | -
pybible.v1.FleetService/RevokeOperator         | elsewhere    | admin           | admin             | -
pybible.v1.FleetService/CreateToken            | elsewhere    | approver admin  | approver admin    | -
pybible.v1.FleetService/ListTokens             | elsewhere    | operators       | operators         | -
pybible.v1.FleetService/RevokeToken            | elsewhere    | approver admin  | approver admin    | -
pybible.v1.FleetService/GetController          | elsewhere    | operators       | operators         | -
pybible.v1.FleetService/ListEnrollments        | elsewhere    | operators       | operators         | -
pybible.v1.FleetService/DecideEnrollments      | elsewhere    | approver admin  | approver admin    | -
pybible.v1.FleetService/ListAudit              | elsewhere    | admin           | admin             | -
pybible.v1.FleetService/DescribeAuthority      | elsewhere    | operators       | operators         | -
pybible.v1.FleetService/RotateAuthority        | elsewhere    | admin           | admin             | -
pybible.v1.FleetService/RetireAuthority        | elsewhere    | admin           | admin             | -
pybible.v1.FleetService/RequestIssuing         | elsewhere    | admin           | admin             | -
pybible.v1.FleetService/WhoAmI                 | elsewhere    | operators       | operators         | -
pybible.v1.FleetService/CanI                   | elsewhere    | operators       | operators         | -
pybible.v1.RunService/Execute                  | elsewhere    | runner admin    | runner admin      | -
pybible.v1.RunService/WatchRun                 | elsewhere    | operators       | operators         | -
pybible.v1.RunService/ListRuns                 | elsewhere    | operators       | operators         | -
pybible.v1.RunService/GetRun                   | elsewhere    | operators       | operators         | -
pybible.v1.RunService/CancelRun                | elsewhere    | runner admin    | runner admin      | -
grpc.health.v1.Health/Check                    | agent        | operators       | anybody           | -
grpc.health.v1.Health/Watch                    | agent        | operators       | operators         | -
grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo | -            | -               | operators         | -
"""
ROLES = {"operators": frozenset(OperatorRole)}
ANYBODY = "anybody"
ELSEWHERE = frozenset({"elsewhere"})

Cell = frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Who may call one rpc, by port. None: it is not served there."""

    agents: Cell
    operators: Cell
    socket: Cell
    enrolment: Cell


def rows() -> dict[str, Row]:
    found = {}
    for line in TABLE.strip().splitlines()[1:]:
        name, *cells = (part.strip() for part in line.split("|"))
        agents, operators, socket, enrolment = map(_cell, cells)
        found[name] = Row(agents=agents, operators=operators, socket=socket, enrolment=enrolment)
    return found


def _cell(text: str) -> Cell:
    if text == "-":
        return None
    return frozenset().union(*(ROLES.get(word, frozenset({word})) for word in text.split()))


class Outcome(Enum):
    """What became of a call."""

    LET_IN = "let in"
    NO_CONNECTION = "the connection was refused"
    UNKNOWN_CALLER = "refused: nobody knows him"
    NOT_ALLOWED = "refused: he may not"
    NOT_SERVED = "there is no such rpc"
    BROKEN = "it ended as no answer ends"


OUTCOMES = {
    grpc.StatusCode.UNAVAILABLE: Outcome.NO_CONNECTION,
    grpc.StatusCode.UNAUTHENTICATED: Outcome.UNKNOWN_CALLER,
    grpc.StatusCode.PERMISSION_DENIED: Outcome.NOT_ALLOWED,
    grpc.StatusCode.UNIMPLEMENTED: Outcome.NOT_SERVED,
}
# Of a caller who was let in and sent an empty message.
ANSWERS = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody at a port. `role` empty: he is nobody, and then `outcome` is what happens to him."""

    name: str
    channel: grpc.aio.Channel
    role: str = ""
    outcome: Outcome = Outcome.NOT_ALLOWED

    def expected(self, cell: Cell) -> Outcome:
        if self.outcome is Outcome.NO_CONNECTION:
            return self.outcome
        if cell is None or (cell == ELSEWHERE and self.outcome is not Outcome.UNKNOWN_CALLER):
            return Outcome.NOT_SERVED
        return Outcome.LET_IN if cell & {self.role, ANYBODY} else self.outcome


async def outcome(channel: grpc.aio.Channel, rpc: str) -> Outcome:
    """Call any rpc with one empty message, and look at the first answer: on the wire calls of all kinds are alike."""
    call = channel.unary_stream(f"/{rpc}", request_serializer=bytes, response_deserializer=bytes)(b"", timeout=20)
    try:
        if await call.read() is not grpc.aio.EOF:
            return Outcome.LET_IN
        code = await call.code()
    except grpc.aio.AioRpcError as error:
        code = error.code()
    finally:
        call.cancel()
    return OUTCOMES.get(code, Outcome.LET_IN if code in ANSWERS else Outcome.BROKEN)


async def test_every_rpc_lets_in_whom_the_table_names_and_nobody_else(tmp_path: Path) -> None:
    async with controller(tmp_path, enroll_rate=100_000.0) as running:
        wrong = [
            f"{rpc}, {port}, {caller.name}: {found.value}, not {wanted.value}"
            async for port, caller in everybody(running)
            for rpc, row in rows().items()
            for wanted in [caller.expected(getattr(row, port))]
            if (found := await outcome(caller.channel, rpc)) is not wanted
        ]
    assert wrong == []


async def test_the_table_has_a_row_for_every_rpc_that_there_is(tmp_path: Path) -> None:
    known = {f"{service}/{method}" for service, method in described()}
    assert set(rows()) == known
    async with controller(tmp_path) as running, running.operator_channel() as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(timeout=10)
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        call.cancel()
    assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
    served = {service.name for service in answer.list_services_response.service}
    assert served == {rpc.partition("/")[0] for rpc, row in rows().items() if row.socket is not None}


def described() -> Iterator[tuple[str, str]]:
    """Return every rpc in the descriptors of this package, and of what comes with gRPC and is served too."""
    ours = [module.name for module in pkgutil.iter_modules(pybible.v1.__path__) if module.name.endswith("_pb2")]
    files: list[FileDescriptor] = [importlib.import_module(f"pybible.v1.{name}").DESCRIPTOR for name in ours]
    for file in (*files, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            for method in service.methods:
                yield service.full_name, method.name


async def everybody(running: RunningController) -> AsyncIterator[tuple[str, Caller]]:
    """Yield each caller with the port at which he is."""
    agent = await running.enrol("web01")
    operators = {role: await running.enrol(role, operator_role=role) for role in OperatorRole}
    admin = operators[OperatorRole.ADMIN]
    for certified in (
        Certified(name="nobody", outcome=Outcome.NO_CONNECTION, anonymous=True, holder=agent),
        Certified(name="the controller's own", outcome=Outcome.NO_CONNECTION, holder=own(running)),
        *await bad(running, "agent", agent),
        *await bad(running, "admin", admin),
        Certified(name="agent", role="agent", holder=agent),
        *(Certified(name=role, role=role, holder=holder) for role, holder in operators.items()),
    ):
        async with certified.at(running.agent_address) as caller:
            yield "agents", caller
        async with certified.at(running.operator_address) as caller:
            yield "operators", caller
        async with certified.at(running.enroll_address) as caller:
            # Nobody is asked for a certificate there.
            yield "enrolment", replace(caller, role="", outcome=Outcome.NOT_ALLOWED)
    for role in (None, *OperatorRole):
        async with local(running, role) as caller:
            yield "socket", caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """Somebody with a certificate, or without any (`anonymous`)."""

    name: str
    holder: Holder
    role: str = ""
    outcome: Outcome = Outcome.NOT_ALLOWED
    anonymous: bool = False

    @asynccontextmanager
    async def at(self, address: str) -> AsyncIterator[Caller]:
        key, certificate = (None, None) if self.anonymous else (self.holder.key, self.holder.certificate)
        credentials = client_credentials(authority=self.holder.authority, key=key, certificate=certificate)
        options = [*client_options(), ("grpc.enable_http_proxy", 0)]
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            yield Caller(name=self.name, channel=channel, role=self.role, outcome=self.outcome)


async def bad(running: RunningController, kind: str, holder: Holder) -> list[Certified]:
    """Return those whose certificates say that they are who `holder` is, and are not good."""
    issuing = (running.controller._parts.config.state / "pki" / "issuing.pem").read_bytes()
    true = serialization.load_pem_private_key(issuing, None)
    other = ec.generate_private_key(ec.SECP256R1())
    assert isinstance(true, ec.EllipticCurvePrivateKey)
    day = datetime.timedelta(days=1)
    made_so = (
        ("of another authority", other, -day, day, Outcome.NO_CONNECTION),
        ("expired", true, -2 * day, -day, Outcome.NO_CONNECTION),
        ("not yet valid", true, day, 2 * day, Outcome.NO_CONNECTION),
        # The one before, with the right dates: it was only for them that those two were refused.
        ("made with the stolen key", true, -day, day, Outcome.UNKNOWN_CALLER),
    )
    revoked = await running.enrol(f"revoked-{kind}", operator_role=OperatorRole.ADMIN if kind == "admin" else None)
    async with running.operator_channel() as channel:
        fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        if kind == "admin":
            await fleet.RevokeOperator(fleet_pb2.RevokeOperatorRequest(operator=revoked.name))
        else:
            await fleet.RevokeAgent(fleet_pb2.RevokeAgentRequest(agent=revoked.name))
    return [
        Certified(name=f"{kind}, revoked", outcome=Outcome.UNKNOWN_CALLER, holder=revoked),
        *(
            Certified(name=f"{kind}, {name}", outcome=result, holder=made(holder, by, start=start, end=end))
            for name, by, start, end, result in made_so
        ),
    ]


def made(
    holder: Holder, by: ec.EllipticCurvePrivateKey, *, start: datetime.timedelta, end: datetime.timedelta
) -> Holder:
    """Return a certificate that is `holder`'s in all but key and dates, which count from now."""
    true, *chain = x509.load_pem_x509_certificates(holder.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(true.subject)
        .issuer_name(true.issuer)
        .serial_number(true.serial_number)
        .public_key(key.public_key())
        .not_valid_before(now + start)
        .not_valid_after(now + end)
    )
    for extension in true.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    certificates = [builder.sign(by, hashes.SHA256()), *chain]
    pem = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)
    return replace(holder, key=_pem(key), certificate=pem)


def own(running: RunningController) -> Holder:
    """Return the key and the certificate that the controller's ports show."""
    shown, authority = running.controller._parts.authority.server, running.controller.authority_pem
    return Holder(name="controller", key=shown.key, certificate=shown.certificate, authority=authority)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@asynccontextmanager
async def local(running: RunningController, role: OperatorRole | None) -> AsyncIterator[Caller]:
    """Let a user of the controller's machine come to the socket. Without a role he has no ticket."""
    target = unix_target(running.socket_path)
    if role is None:
        async with grpc.aio.insecure_channel(target, options=client_options()) as channel:
            yield Caller(name="without a ticket", channel=channel, outcome=Outcome.UNKNOWN_CALLER)
        return
    user = LocalUser(uid=1000, pid=1, name=role, role=role)
    ticket = running.controller._parts.tickets.issue(user)
    async with grpc.aio.secure_channel(target, ticket_credentials(lambda: ticket), options=client_options()) as channel:
        yield Caller(name=role, channel=channel, role=role)
