"""access: who calls, and what that caller may call. One table; what is not in it is denied."""

from __future__ import annotations

import copy
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Never, Protocol

import grpc
from cryptography import x509

from pybible.server.controller.local_users import LocalUser
from pybible.server.controller.pki.allowed import AllowedCertificates
from pybible.server.controller.rights import Rights, Rule
from pybible.server.controller.services.rate import RateLimit
from pybible.server.controller.tickets import Tickets
from pybible.server.results.audit import Actor, AuditEntry
from pybible.wire.identity import Identity, OperatorRole, Role, certificate_identity
from pybible.wire.logs import fields
from pybible.wire.tickets import METADATA_KEY

log = logging.getLogger(__name__)

_AGENT = frozenset({Role.AGENT})
_VIEW = frozenset(OperatorRole)
_RUN = frozenset({OperatorRole.RUNNER, OperatorRole.ADMIN})
_APPROVE = frozenset({OperatorRole.APPROVER, OperatorRole.ADMIN})
_ADMIN = frozenset({OperatorRole.ADMIN})
# The enrolment port takes callers without a certificate, and serves this one service.
_ANYONE = frozenset({None})

ACCESS: Mapping[str, frozenset[Role | OperatorRole | None]] = MappingProxyType(
    {
        "pybible.v1.AgentService/Attach": _AGENT,
        "pybible.v1.AgentService/RenewCertificate": _AGENT,
        "pybible.v1.BlobService/FindMissing": _AGENT | _RUN,
        "pybible.v1.BlobService/Put": _AGENT | _RUN,
        "pybible.v1.BlobService/Get": _AGENT | _RUN,
        "pybible.v1.EnrollmentService/GetAuthority": _ANYONE,
        "pybible.v1.EnrollmentService/Enroll": _ANYONE,
        "pybible.v1.EnrollmentService/PollEnrollment": _ANYONE,
        "pybible.v1.FleetService/ListAgents": _VIEW,
        "pybible.v1.FleetService/GetAgent": _VIEW,
        "pybible.v1.FleetService/GetFacts": _VIEW,
        "pybible.v1.FleetService/RemoveAgent": _ADMIN,
        "pybible.v1.FleetService/RevokeAgent": _ADMIN,
        "pybible.v1.FleetService/ListOperators": _VIEW,
        "pybible.v1.FleetService/RevokeOperator": _ADMIN,
        "pybible.v1.FleetService/CreateToken": _APPROVE,
        "pybible.v1.FleetService/ListTokens": _VIEW,
        "pybible.v1.FleetService/RevokeToken": _APPROVE,
        "pybible.v1.FleetService/GetController": _VIEW,
        "pybible.v1.FleetService/DescribeAuthority": _VIEW,
        "pybible.v1.FleetService/RequestIssuing": _ADMIN,
        "pybible.v1.FleetService/RotateAuthority": _ADMIN,
        "pybible.v1.FleetService/RetireAuthority": _ADMIN,
        "pybible.v1.FleetService/ListEnrollments": _VIEW,
        "pybible.v1.FleetService/DecideEnrollments": _APPROVE,
        "pybible.v1.FleetService/ListAudit": _ADMIN,
        "pybible.v1.FleetService/WhoAmI": _VIEW,
        "pybible.v1.FleetService/CanI": _VIEW,
        "pybible.v1.RunService/Execute": _RUN,
        "pybible.v1.RunService/WatchRun": _VIEW,
        "pybible.v1.RunService/ListRuns": _VIEW,
        "pybible.v1.RunService/GetRun": _VIEW,
        "pybible.v1.RunService/CancelRun": _RUN,
        "grpc.health.v1.Health/Check": _AGENT | _VIEW,
        "grpc.health.v1.Health/Watch": _AGENT | _VIEW,
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _VIEW,
    }
)


class Port(StrEnum):
    """Where calls come in."""

    AGENTS = "agents"
    ENROLMENT = "enrolment"
    OPERATORS = "operators"
    SOCKET = "socket"

    @property
    def place(self) -> str:
        """What it is called in a refusal."""
        return _TITLES[self]


_TITLES: Mapping[Port, str] = MappingProxyType(
    {
        Port.AGENTS: "the agents' port",
        Port.ENROLMENT: "the enrolment port",
        Port.OPERATORS: "the operators' port",
        Port.SOCKET: "the operators' socket",
    }
)
# Whose calls a port takes at all, whatever the table says of them. On the enrolment port nobody is anybody yet.
_COMERS: Mapping[Port, frozenset[Role]] = MappingProxyType(
    {
        Port.AGENTS: frozenset({Role.AGENT}),
        Port.ENROLMENT: frozenset(),
        Port.OPERATORS: frozenset({Role.OPERATOR}),
        Port.SOCKET: frozenset({Role.OPERATOR}),
    }
)
_TARGET_LENGTH = 300
# Of one caller that go to the audit log: so many at once, and then so many a second.
_DENIALS, _DENIALS_A_SECOND = 100.0, 0.1
# What whoever can open the operators' socket may ask, ticket or not: is the controller ready?
READINESS = frozenset({"grpc.health.v1.Health/Check"})
_UNIX = "unix:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls. `serial` is None on the operators' socket, where the kernel said who came for the ticket."""

    identity: Identity
    address: str
    serial: int | None = None
    # Of the certificate: when it ends (seconds since the epoch), and the serial number of the authority that signed it.
    expires: float | None = None
    issuer: int | None = None
    # None for agents.
    operator_role: OperatorRole | None = None

    @property
    def actor(self) -> Actor:
        """The caller as the audit log has him."""
        serial = f"{self.serial:x}" if self.serial is not None else ""
        return Actor(identity=self.identity.uri, role=str(self.role), address=self.address, serial=serial)

    @property
    def role(self) -> Role | OperatorRole:
        """What the access table has of it."""
        return self.operator_role or self.identity.role

    def __str__(self) -> str:
        return f"{'an' if self.role[0] in 'aeiou' else 'a'} {self.role}"


class Context(Protocol):
    """What of grpc.aio's ServicerContext is needed here, whatever the messages of its call are."""

    def peer(self) -> str:
        """Return where the call comes from."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what TLS knows of the caller."""

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """Return what the caller sent beside the request."""

    def abort(self, code: grpc.StatusCode, details: str = ...) -> Coroutine[object, object, Never]:
        """End the call with a status."""


class Unauthenticated(Exception):
    """Nobody knows who calls; the text says why."""


class Access:
    """Answers for every rpc of a port of one controller."""

    def __init__(
        self,
        allowed: AllowedCertificates,
        *,
        tickets: Tickets | None = None,
        rules: tuple[Rule, ...] = (),
        note: Callable[[AuditEntry], None] = lambda _entry: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._allowed = allowed
        self._tickets = Tickets() if tickets is None else tickets
        self._note = note
        self._denials = RateLimit(rate=_DENIALS_A_SECOND, burst=_DENIALS, now=now)
        self._rules = rules
        self._now = now
        # None: of no port, but the controller itself.
        self._port: Port | None = None
        # Calls that were refused, by the port and the reason.
        self.refused: Counter[tuple[str, str]] = Counter()

    def at(self, port: Port) -> Access:
        """Return the same for one port. All of a controller count together, and what one notes is noted once."""
        found = copy.copy(self)
        found._port = port
        return found

    def caller(self, context: Context) -> Caller:
        """Return who calls, by the certificate of the connection or by a ticket. Unauthenticated when unknown."""
        peer = context.peer()
        certificates = list(context.auth_context().get("x509_pem_cert", ()))
        if certificates:
            return self._holder(certificates[0], peer)
        if peer.startswith(_UNIX):
            return self._local(context)
        raise Unauthenticated("this call needs a certificate of this controller's authority")

    async def require(self, context: Context, method: str) -> Caller:
        """Return the caller if it may call `method` ("pybible.v1.Service/Method"), else abort the call."""
        try:
            caller = self.caller(context)
        except Unauthenticated as error:
            if method in READINESS and context.peer().startswith(_UNIX):
                return _ANYBODY
            await self._refuse_unknown(context, error)
        refusal = ""
        if caller.role not in ACCESS.get(method, frozenset[Role | OperatorRole | None]()):
            refusal = f"{caller} may not call {method}"
        elif self._port is not None and caller.identity.role not in _COMERS[self._port]:
            refusal = f"{caller} may not call {method} on {self._port.place}"
        if refusal:
            self.count_refusal("permission_denied")
            self.note_denial(caller, "call", method, refusal=refusal)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, refusal)
        return caller

    async def elsewhere(self, context: Context, method: str, where: str) -> Never:
        """Abort a call that another port serves; `where` says which. Whoever tries is written down."""
        refusal = f"{method} is not served on {self._port.place if self._port is not None else 'this port'}"
        try:
            caller = self.caller(context)
        except Unauthenticated as error:
            await self._refuse_unknown(context, error)
        self.count_refusal("not_served")
        self.note_denial(caller, "call", method, refusal=refusal)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{refusal}; {where}")

    def count_refusal(self, reason: str) -> None:
        """Count a call that was refused on this port."""
        self.refused[str(self._port or ""), reason] += 1

    def note(
        self, caller: Caller, action: str, target: str, *, refusal: str = "", run_id: str = "", **details: object
    ) -> None:
        """Add what a caller did, or was not let do, to the audit log."""
        self._note(
            AuditEntry(
                moment=self._now(),
                actor=caller.actor,
                action=action,
                target=target[:_TARGET_LENGTH],
                allowed=not refusal,
                reason=refusal,
                run_id=run_id,
                details=details,
            )
        )

    def note_denial(self, caller: Caller, action: str, target: str, *, refusal: str) -> None:
        """Add what a caller was not let do, unless he tried it too often already."""
        if self._denials.take(caller.identity.uri):
            self.note(caller, action, target, refusal=refusal)

    def turned_away(self, user: LocalUser, why: str) -> None:
        """Note a user of this machine who got no ticket."""
        self.count_refusal("unauthenticated")
        self.note_denial(_local_caller(user), "connect", "operators' socket", refusal=why)

    def rights(self, caller: Caller) -> Rights:
        """Return what an operator may have run."""
        role = caller.operator_role or OperatorRole.VIEWER
        return Rights(operator=caller.identity.id, role=role, rules=self._rules)

    async def _refuse_unknown(self, context: Context, error: Unauthenticated) -> Never:
        self.count_refusal("unauthenticated")
        # In the log alone: nobody vouches for who it was.
        if self._denials.take(f"unknown: {error}"):
            log.warning("a caller is refused", extra=fields(address=_host_and_port(context.peer()), why=str(error)))
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))

    def _local(self, context: Context) -> Caller:
        tickets = [value for key, value in context.invocation_metadata() or () if key == METADATA_KEY]
        if not tickets:
            raise Unauthenticated("a call on this socket needs a ticket, which pybible-ctl gets at the door beside it")
        user = self._tickets.holder(str(tickets[0]))
        if user is None:
            raise Unauthenticated("the ticket of this call is none of this controller, or not good any more")
        return _local_caller(user)

    def _holder(self, pem: bytes, peer: str) -> Caller:
        record = self._allowed.find(pem)
        if record is None:
            identity = certificate_identity(x509.load_pem_x509_certificate(pem))
            if identity is None:
                raise Unauthenticated("the certificate names no pybible identity")
            raise Unauthenticated(
                f"the certificate of {identity.uri} is revoked, or was never issued here, or later than the backup"
                " that this controller was restored from"
            )
        # The connection may be older than the certificate's last day.
        if record.expires <= self._now():
            raise Unauthenticated(f"the certificate of {record.identity.uri} has expired")
        return Caller(
            identity=record.identity,
            address=_host_and_port(peer),
            serial=record.serial,
            expires=record.expires,
            issuer=record.issuer,
            operator_role=record.operator_role,
        )


def _local_caller(user: LocalUser) -> Caller:
    identity = Identity(Role.OPERATOR, user.operator)
    return Caller(identity=identity, address=f"unix uid={user.uid} pid={user.pid}", operator_role=user.role)


# Whoever asks whether the controller is ready.
_ANYBODY = Caller(identity=Identity(Role.OPERATOR, ""), address="unix")


def _host_and_port(peer: str) -> str:
    """Return gRPC's `ipv4:127.0.0.1:4000` or `ipv6:%5B::1%5D:4000` as an operator would write it."""
    return peer.partition(":")[2].replace("%5B", "[").replace("%5D", "]")
