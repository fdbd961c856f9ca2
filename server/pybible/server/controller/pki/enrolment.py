"""enrolment: join tokens, and what they are exchanged for."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from pybible.server.controller.pki.allowed import AllowedCertificates
from pybible.server.controller.pki.authority import Authority, Issued
from pybible.server.controller.pki.signing import CertificateRequestRefused, load_request
from pybible.server.controller.store import agents, certificates, tokens
from pybible.server.controller.store.agents import AgentRecord
from pybible.server.controller.store.certificates import CertificateRecord
from pybible.server.controller.store.database import Database
from pybible.server.controller.store.tokens import TokenRecord
from pybible.wire.errors import AccessDenied, UsageError
from pybible.wire.identity import Identity, OperatorRole, Role
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

DEFAULT_TTL = 3600.0
# A year. A token that is good for longer is a password.
LONGEST_TTL = 366 * 86400.0
LABEL_LIMIT = 64
NO_OPERATORS = "this controller has no port for operators"
_OPEN_OPERATORS = "An admin opens one with operators_listen in the controller's configuration."

_name = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,252}")
# Words that a playbook's `hosts:` understands as something else.
_reserved = frozenset({"all", "ungrouped", "localhost"})


class EnrolmentRefused(AccessDenied):
    """No certificate is given; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What an operator asks of a token. `ttl` in seconds, None for the default."""

    ttl: float | None = None
    uses: int = 1
    name_pattern: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    # What an operator who uses it may do. None: it is for agents.
    operator_role: OperatorRole | None = None
    # Whether it is for a host that was built anew, to take over the agent of that name.
    replaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentRequest:
    """What a host, or an operator's machine, asks with. `csr` PEM; `name` may be empty."""

    secret: str
    csr: bytes
    name: str = ""
    hostname: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What it got: a certificate, with the chain to the root (PEM), and the name that is bound to it."""

    identity: Identity
    name: str
    certificate: bytes
    # None for operators.
    agent: AgentRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long certificates live, and tokens for which nothing else was asked."""

    agent: timedelta = timedelta(days=7)
    operator: timedelta = timedelta(days=30)
    token: timedelta = timedelta(seconds=DEFAULT_TTL)


class Enrolment:
    """Gives out tokens and certificates, and takes them back."""

    def __init__(
        self,
        *,
        database: Database,
        authority: Authority,
        allowed: AllowedCertificates,
        lifetimes: Lifetimes | None = None,
        operators: bool = True,
        shut_out: Callable[[str], None] = lambda _agent_id: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._authority = authority
        self._allowed = allowed
        self._lifetimes = lifetimes or Lifetimes()
        # Whether there is a port for operators with certificates.
        self._operators = operators
        # Ends the session of an agent whose certificates were revoked.
        self.shut_out = shut_out
        self._now = now

    async def create_token(self, request: TokenRequest) -> tuple[str, TokenRecord]:
        """Return the secret of a new token, and its record. UsageError for a request that can't be met."""
        ttl = self._lifetimes.token.total_seconds() if request.ttl is None else request.ttl
        if not 0 < ttl <= LONGEST_TTL:
            raise UsageError(f"a token's time to live must be more than 0 and at most {LONGEST_TTL:.0f} seconds")
        if request.operator_role and not self._operators:
            raise UsageError(NO_OPERATORS, hint=_OPEN_OPERATORS)
        if request.uses < 1:
            raise UsageError("a token must be good for at least one use")
        if len(request.labels) > LABEL_LIMIT:
            raise UsageError(f"at most {LABEL_LIMIT} labels")
        if request.name_pattern and not _is_pattern(request.name_pattern):
            check_name(request.name_pattern)
        if request.replaces and (_is_pattern(request.name_pattern) or not request.name_pattern):
            raise UsageError("a token that replaces an agent must be for one name")
        secret = secrets.token_urlsafe(32)
        created = self._now()
        record = TokenRecord(
            token_id=str(uuid.uuid4()),
            secret_sha256=_hash(secret),
            created=created,
            expires=created + ttl,
            uses_left=request.uses,
            role=Role.OPERATOR if request.operator_role else Role.AGENT,
            operator_role=request.operator_role,
            replaces=request.replaces,
            name_pattern=request.name_pattern,
            labels=dict(request.labels),
        )
        await self._database.write(lambda connection: tokens.add(connection, record))
        log.info(
            "join token created",
            extra=fields(token_id=record.token_id, role=str(record.role), uses=record.uses_left, ttl=ttl),
        )
        return secret, record

    async def enrol(self, request: EnrolmentRequest) -> Enrolled:
        """Exchange a token for a certificate. EnrolmentRefused when it can't be, and then the token keeps its use."""
        key = requested_key(request.csr)
        replaced: list[str] = []
        enrolled = await self._certify(request, lambda connection: self._enrol(connection, request, key, replaced))
        for agent_id in replaced:
            self._database.directory.forget(agent_id)
            self._shut_out(agent_id)
        return enrolled

    async def admit(self, request: EnrolmentRequest, *, labels: Mapping[str, str]) -> Enrolled:
        """Give a host that was let in its certificate. EnrolmentRefused when it can't be."""
        key = requested_key(request.csr)
        name = bound_name(asked=request.name, hostname=request.hostname, pattern="")
        return await self._certify(
            request, lambda connection: self._enrol_agent(connection, request, key, name=name, labels=labels)
        )

    async def check_free(self, name: str) -> None:
        """Raise EnrolmentRefused unless a new agent may be called so."""
        check_name(name)
        await self._database.read(lambda connection: _check_free(connection, name))

    async def _certify(
        self, request: EnrolmentRequest, work: Callable[[Connection], tuple[Enrolled, CertificateRecord]]
    ) -> Enrolled:
        enrolled, record = await self._database.write(work)
        self._allowed.allow(record)
        if enrolled.agent is not None:
            self._database.directory.put(enrolled.agent)
        log.info(
            "certificate issued",
            extra=fields(identity=enrolled.identity.uri, name=enrolled.name, hostname=request.hostname[:253]),
        )
        return enrolled

    async def renew(self, identity: Identity, csr: bytes) -> bytes:
        """Return a new certificate (PEM) for an identity that has shown a valid one. EnrolmentRefused for a bad `csr`.

        The old certificate stays valid until its end: the stream that uses it is handed over first.
        """
        key = requested_key(csr)
        issued, record = self._issue(identity, key)

        def work(connection: Connection) -> None:
            if identity.role is Role.AGENT and agents.find(connection, identity.id) is None:
                raise EnrolmentRefused("this agent was removed")
            # It may have been revoked since it was asked for its certificate.
            if not certificates.holds(connection, identity):
                raise EnrolmentRefused("this agent was revoked")
            certificates.add(connection, record)

        await self._database.write(work)
        self._allowed.allow(record)
        log.info("certificate renewed", extra=fields(identity=identity.uri))
        return issued.pem

    async def remove_agent(self, name_or_id: str) -> AgentRecord | None:
        """Revoke an agent's certificates and forget its name. Return what it was, None when nobody has that name."""

        def work(connection: Connection) -> AgentRecord | None:
            agent = agents.find(connection, name_or_id)
            if agent is not None:
                certificates.revoke(connection, Identity(Role.AGENT, agent.agent_id), self._now())
                agents.remove(connection, agent.agent_id)
            return agent

        await self._shut_out_first(name_or_id)
        agent = await self._database.write(work)
        if agent is not None:
            self._database.directory.forget(agent.agent_id)
            self._shut_out(agent.agent_id)
            log.info("agent removed", extra=fields(agent_id=agent.agent_id, name=agent.name))
        return agent

    async def revoke_agent(self, name_or_id: str) -> AgentRecord | None:
        """Revoke an agent's certificates; its name stays bound. Return it, None when nobody has that name."""

        def work(connection: Connection) -> AgentRecord | None:
            agent = agents.find(connection, name_or_id)
            if agent is not None:
                certificates.revoke(connection, Identity(Role.AGENT, agent.agent_id), self._now())
            return agent

        await self._shut_out_first(name_or_id)
        agent = await self._database.write(work)
        if agent is not None:
            self._shut_out(agent.agent_id)
            log.warning("agent revoked", extra=fields(agent_id=agent.agent_id, name=agent.name))
        return agent

    async def revoke_operator(self, name: str) -> int:
        """Revoke an operator's certificates. Return how many there were."""
        identity = Identity(Role.OPERATOR, name)
        serials = await self._database.write(lambda connection: certificates.revoke(connection, identity, self._now()))
        self._allowed.revoke(identity)
        log.warning("operator revoked", extra=fields(operator=name, certificates=len(serials)))
        return len(serials)

    async def _shut_out_first(self, name_or_id: str) -> None:
        """End an agent's session before anything is written, which may take its time."""
        agent = await self._database.read(lambda connection: agents.find(connection, name_or_id))
        if agent is not None:
            self._shut_out(agent.agent_id)

    def _shut_out(self, agent_id: str) -> None:
        self._allowed.revoke(Identity(Role.AGENT, agent_id))
        self.shut_out(agent_id)

    def _enrol(
        self, connection: Connection, request: EnrolmentRequest, key: ec.EllipticCurvePublicKey, replaced: list[str]
    ) -> tuple[Enrolled, CertificateRecord]:
        """Do it all in one transaction: an exception gives the token its use back. `replaced`: agents that end."""
        token = self._take_token(connection, request.secret)
        name = bound_name(asked=request.name, hostname=request.hostname, pattern=token.name_pattern)
        if token.role is Role.AGENT:
            former = agents.find(connection, name) if token.replaces else None
            if former is not None:
                certificates.revoke(connection, Identity(Role.AGENT, former.agent_id), self._now())
                agents.remove(connection, former.agent_id)
                replaced.append(former.agent_id)
            return self._enrol_agent(connection, request, key, name=name, labels=token.labels)
        if not self._operators:
            raise EnrolmentRefused(NO_OPERATORS, hint=_OPEN_OPERATORS)
        identity = Identity(Role.OPERATOR, name)
        if token.name_pattern != name and self._allowed.expiry(identity) is not None:
            # Rules are about names: nobody gets another's by asking for it.
            raise EnrolmentRefused(
                f"the operator {name} has a certificate already",
                hint=f"Log in with another --name, or with a token for that name: token create --name {name}.",
            )
        issued, record = self._issue(identity, key, operator_role=token.operator_role)
        certificates.add(connection, record)
        return Enrolled(identity=identity, name=name, certificate=issued.pem), record

    def _enrol_agent(
        self,
        connection: Connection,
        request: EnrolmentRequest,
        key: ec.EllipticCurvePublicKey,
        *,
        name: str,
        labels: Mapping[str, str],
    ) -> tuple[Enrolled, CertificateRecord]:
        """Make an agent of a host."""
        _check_free(connection, name)
        identity = Identity(Role.AGENT, str(uuid.uuid4()))
        agent = AgentRecord(
            agent_id=identity.id,
            name=name,
            hostname=request.hostname[:253],
            version=request.version[:64],
            labels=dict(labels),
            enrolled=self._now(),
        )
        agents.add(connection, agent)
        issued, record = self._issue(identity, key)
        certificates.add(connection, record)
        return Enrolled(identity=identity, name=name, certificate=issued.pem, agent=agent), record

    def _take_token(self, connection: Connection, secret: str) -> TokenRecord:
        token = tokens.find_by_secret(connection, _hash(secret))
        if token is None:
            raise EnrolmentRefused("this controller does not know that join token")
        if token.revoked:
            raise EnrolmentRefused("the join token was revoked")
        if token.expires <= self._now():
            raise EnrolmentRefused("the join token has expired")
        if not tokens.use(connection, token.token_id, self._now()):
            raise EnrolmentRefused("the join token has been used up")
        return token

    def _issue(
        self, identity: Identity, key: ec.EllipticCurvePublicKey, *, operator_role: OperatorRole | None = None
    ) -> tuple[Issued, CertificateRecord]:
        lifetime = self._lifetimes.operator if identity.role is Role.OPERATOR else self._lifetimes.agent
        issued = self._authority.issue(identity, key, lifetime, unit=operator_role or "")
        record = CertificateRecord(
            serial=issued.serial,
            fingerprint=issued.fingerprint,
            issuer=issued.issuer,
            identity=identity,
            issued=issued.issued,
            expires=issued.expires,
            operator_role=operator_role,
        )
        return issued, record


def _check_free(connection: Connection, name: str) -> None:
    if agents.find(connection, name) is not None:
        raise EnrolmentRefused(
            f"the name {name} belongs to another agent",
            hint=f"Join with another --name, or give it up first: pybible-ctl agents remove {name}",
        )


def check_name(name: str) -> str:
    """Return `name` if it can be an inventory name, else raise EnrolmentRefused."""
    if not _name.fullmatch(name):
        raise EnrolmentRefused(
            f"{name[:80]!r} can't be a host's name: letters, digits, dots, hyphens and underscores, at most 253"
        )
    if name in _reserved:
        raise EnrolmentRefused(
            f"{name} can't be an agent's name: in a playbook it means something else", hint="Join with --name NAME."
        )
    return name


def bound_name(*, asked: str, hostname: str, pattern: str) -> str:
    """Return the name to bind: the one asked for, else the token's own, else what the host calls itself.

    An agent that is given no name asks for its hostname: that is no wish against a token for one name.
    Raises EnrolmentRefused for one that the token's pattern does not allow.
    """
    fixed = pattern if pattern and not _is_pattern(pattern) else ""
    wished = "" if fixed and asked == hostname else asked
    name = check_name(wished or fixed or hostname)
    if pattern and not fnmatchcase(name, pattern):
        raise EnrolmentRefused(f"the join token is not for the name {name}, but for {pattern}")
    return name


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[")


def requested_key(csr: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key of a certificate request. EnrolmentRefused when it is none."""
    try:
        return load_request(csr)
    except CertificateRequestRefused as error:
        raise EnrolmentRefused(str(error)) from error


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
