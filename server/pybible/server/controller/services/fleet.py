"""fleet: FleetService, for operators: who is enrolled, who is there, and who may join."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Protocol, TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from pybible.server.controller.blobs.traffic import Traffic
from pybible.server.controller.pki.allowed import AllowedSerials
from pybible.server.controller.pki.enrolment import Enrolment, TokenRequest
from pybible.server.controller.pki.waiting import Decision, Waiting, WaitingRoom
from pybible.server.controller.rights import Work
from pybible.server.controller.services.access import Access
from pybible.server.controller.sessions.presence import AgentStatus
from pybible.server.controller.store import agents, audit, facts, tokens
from pybible.server.controller.store.agents import AgentRecord
from pybible.server.controller.store.database import Database
from pybible.server.controller.store.tokens import TokenRecord
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import PybibleError
from pybible.wire.identity import Identity, JoinToken, OperatorRole, Role
from pybible.wire.logs import fields
from pybible.wire.tasks import short_name
from pybible.wire.values import dumps

log = logging.getLogger(__name__)
_REASON_LENGTH = 1000
_AUDIT_RECORDS = 200

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Context: TypeAlias = grpc.aio.ServicerContext[_Request, _Response]


class Runs(Protocol):
    """The runs that are open."""

    def interrupt(self, identity: str, reason: str) -> None:
        """End those of an operator."""


class Presence(Protocol):
    """Who is attached now."""

    def status(self, agent_id: str) -> AgentStatus | None:
        """Return an agent's status, None for one that was never attached since the controller started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerFacts:
    """What a controller says of itself. Addresses HOST:PORT as others reach them; `started` as time.time()."""

    version: str
    started: float
    agent_address: str
    enroll_address: str
    authority_pin: str


class FleetServicer(fleet_pb2_grpc.FleetServiceServicer):
    """Answers operators' questions about the fleet."""

    def __init__(
        self,
        *,
        access: Access,
        database: Database,
        enrolment: Enrolment,
        waiting: WaitingRoom,
        allowed: AllowedSerials,
        presence: Presence,
        runs: Runs,
        traffic: Traffic,
        facts: ControllerFacts,
    ) -> None:
        self._access = access
        self._database = database
        self._enrolment = enrolment
        self._waiting = waiting
        self._allowed = allowed
        self._presence = presence
        self._runs = runs
        self._traffic = traffic
        self._facts = facts

    async def ListAgents(
        self,
        request: fleet_pb2.ListAgentsRequest,
        context: _Context[fleet_pb2.ListAgentsRequest, fleet_pb2.ListAgentsResponse],
    ) -> fleet_pb2.ListAgentsResponse:
        """Return every enrolled agent, by name."""
        await self._access.require(context, "pybible.v1.FleetService/ListAgents")
        records = await self._database.read(agents.every)
        return fleet_pb2.ListAgentsResponse(agents=[self._agent(record) for record in records])

    async def GetAgent(
        self,
        request: fleet_pb2.GetAgentRequest,
        context: _Context[fleet_pb2.GetAgentRequest, fleet_pb2.GetAgentResponse],
    ) -> fleet_pb2.GetAgentResponse:
        """Return one agent, by name or id."""
        await self._access.require(context, "pybible.v1.FleetService/GetAgent")
        record = await self._database.read(lambda connection: agents.find(connection, request.agent))
        if record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no agent is enrolled as {request.agent!r}")
        message = self._agent(record)
        known = await self._database.read(lambda connection: facts.find(connection, record.agent_id))
        if known is not None:
            message.facts_gathered.CopyFrom(_moment(known.gathered))
        return fleet_pb2.GetAgentResponse(agent=message)

    async def GetFacts(
        self,
        request: fleet_pb2.GetFactsRequest,
        context: _Context[fleet_pb2.GetFactsRequest, fleet_pb2.GetFactsResponse],
    ) -> fleet_pb2.GetFactsResponse:
        """Return the facts that an agent pushed last."""
        await self._access.require(context, "pybible.v1.FleetService/GetFacts")
        record = await self._database.read(lambda connection: agents.find(connection, request.agent))
        if record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no agent is enrolled as {request.agent!r}")
        known = await self._database.read(lambda connection: facts.find(connection, record.agent_id))
        if known is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"agent {record.name!r} has pushed no facts")
        return fleet_pb2.GetFactsResponse(facts=known.facts, moving=known.moving, gathered=_moment(known.gathered))

    async def RemoveAgent(
        self,
        request: fleet_pb2.RemoveAgentRequest,
        context: _Context[fleet_pb2.RemoveAgentRequest, fleet_pb2.RemoveAgentResponse],
    ) -> fleet_pb2.RemoveAgentResponse:
        """Revoke an agent's certificates, end its session, free its name."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RemoveAgent")
        record = await self._enrolment.remove_agent(request.agent)
        if record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no agent is enrolled as {request.agent!r}")
        self._access.note(caller, "agent.remove", record.name, agent_id=record.agent_id)
        return fleet_pb2.RemoveAgentResponse()

    async def RevokeAgent(
        self,
        request: fleet_pb2.RevokeAgentRequest,
        context: _Context[fleet_pb2.RevokeAgentRequest, fleet_pb2.RevokeAgentResponse],
    ) -> fleet_pb2.RevokeAgentResponse:
        """Revoke an agent's certificates, end its session."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RevokeAgent")
        record = await self._enrolment.revoke_agent(request.agent)
        if record is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no agent is enrolled as {request.agent!r}")
        self._access.note(caller, "agent.revoke", record.name, agent_id=record.agent_id)
        return fleet_pb2.RevokeAgentResponse()

    async def ListOperators(
        self,
        request: fleet_pb2.ListOperatorsRequest,
        context: _Context[fleet_pb2.ListOperatorsRequest, fleet_pb2.ListOperatorsResponse],
    ) -> fleet_pb2.ListOperatorsResponse:
        """Return the operators' certificates that are in force."""
        await self._access.require(context, "pybible.v1.FleetService/ListOperators")
        return fleet_pb2.ListOperatorsResponse(
            operators=[
                fleet_pb2.Operator(
                    name=record.identity.id,
                    role=record.operator_role or "",
                    serial=f"{record.serial:x}",
                    issued=_moment(record.issued),
                    expires=_moment(record.expires),
                )
                for record in self._allowed.of_role(Role.OPERATOR)
            ]
        )

    async def RevokeOperator(
        self,
        request: fleet_pb2.RevokeOperatorRequest,
        context: _Context[fleet_pb2.RevokeOperatorRequest, fleet_pb2.RevokeOperatorResponse],
    ) -> fleet_pb2.RevokeOperatorResponse:
        """Revoke an operator's certificates, end his runs."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RevokeOperator")
        revoked = await self._enrolment.revoke_operator(request.operator)
        if not revoked:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no operator {request.operator!r} has a certificate")
        self._runs.interrupt(Identity(Role.OPERATOR, request.operator).uri, "the operator's certificate was revoked")
        self._access.note(caller, "operator.revoke", request.operator, certificates=revoked)
        return fleet_pb2.RevokeOperatorResponse(certificates=revoked)

    async def CreateToken(
        self,
        request: fleet_pb2.CreateTokenRequest,
        context: _Context[fleet_pb2.CreateTokenRequest, fleet_pb2.CreateTokenResponse],
    ) -> fleet_pb2.CreateTokenResponse:
        """Make a join token. Its secret is in this answer only."""
        caller = await self._access.require(context, "pybible.v1.FleetService/CreateToken")
        wanted = request.role or Role.AGENT
        if wanted != Role.AGENT and wanted not in set(OperatorRole):
            known = ", ".join((Role.AGENT, *OperatorRole))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{wanted!r} is not a role; roles are {known}")
        role = None if wanted == Role.AGENT else OperatorRole(wanted)
        if role is not None and caller.operator_role is not OperatorRole.ADMIN:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{caller} makes tokens for agents only")
        try:
            secret, record = await self._enrolment.create_token(
                TokenRequest(
                    ttl=request.ttl.ToTimedelta().total_seconds() or None,
                    uses=request.uses or 1,
                    name_pattern=request.name_pattern,
                    labels=dict(request.labels),
                    operator_role=role,
                    replaces=request.replace,
                )
            )
        except PybibleError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._access.note(
            caller,
            "token.create",
            record.token_id,
            role=str(role or Role.AGENT),
            name=record.name_pattern,
            uses=record.uses_left,
            labels=dict(record.labels),
        )
        token = JoinToken(address=self._facts.enroll_address, pin=self._facts.authority_pin, secret=secret)
        return fleet_pb2.CreateTokenResponse(token=token.encode(), description=_token(record))

    async def ListTokens(
        self,
        request: fleet_pb2.ListTokensRequest,
        context: _Context[fleet_pb2.ListTokensRequest, fleet_pb2.ListTokensResponse],
    ) -> fleet_pb2.ListTokensResponse:
        """Return every token without its secret, the newest first."""
        await self._access.require(context, "pybible.v1.FleetService/ListTokens")
        records = await self._database.read(tokens.every)
        return fleet_pb2.ListTokensResponse(tokens=[_token(record) for record in records])

    async def RevokeToken(
        self,
        request: fleet_pb2.RevokeTokenRequest,
        context: _Context[fleet_pb2.RevokeTokenRequest, fleet_pb2.RevokeTokenResponse],
    ) -> fleet_pb2.RevokeTokenResponse:
        """Make a token good for nothing."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RevokeToken")
        if not await self._database.write(lambda connection: tokens.revoke(connection, request.token_id)):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no token {request.token_id!r}")
        self._access.note(caller, "token.revoke", request.token_id)
        return fleet_pb2.RevokeTokenResponse()

    async def GetController(
        self,
        request: fleet_pb2.GetControllerRequest,
        context: _Context[fleet_pb2.GetControllerRequest, fleet_pb2.GetControllerResponse],
    ) -> fleet_pb2.GetControllerResponse:
        """Say who answers here."""
        await self._access.require(context, "pybible.v1.FleetService/GetController")
        return fleet_pb2.GetControllerResponse(
            version=self._facts.version,
            started=_moment(self._facts.started),
            agent_address=self._facts.agent_address,
            enrollment_address=self._facts.enroll_address,
            authority_pin=self._facts.authority_pin,
        )

    async def ListEnrollments(
        self,
        request: fleet_pb2.ListEnrollmentsRequest,
        context: _Context[fleet_pb2.ListEnrollmentsRequest, fleet_pb2.ListEnrollmentsResponse],
    ) -> fleet_pb2.ListEnrollmentsResponse:
        """Return the hosts that wait, the oldest first."""
        await self._access.require(context, "pybible.v1.FleetService/ListEnrollments")
        found = [_enrollment(each) for each in self._waiting if each.enrolled is None]
        return fleet_pb2.ListEnrollmentsResponse(enrollments=found)

    async def DecideEnrollments(
        self,
        request: fleet_pb2.DecideEnrollmentsRequest,
        context: _Context[fleet_pb2.DecideEnrollmentsRequest, fleet_pb2.DecideEnrollmentsResponse],
    ) -> fleet_pb2.DecideEnrollmentsResponse:
        """Let hosts in, or turn them away: all that are named, or none."""
        caller = await self._access.require(context, "pybible.v1.FleetService/DecideEnrollments")
        try:
            found = {each.fingerprint: each for each in map(self._waiting.named, request.hosts)}
            if request.all_matching:
                found |= {each.fingerprint: each for each in self._waiting.matching(request.all_matching)}
            if request.approve:
                for each in found.values():
                    await self._enrolment.check_free(each.name)
        except PybibleError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        for each in found.values():
            each.decision = Decision.APPROVED if request.approve else Decision.DENIED
            each.labels, each.reason = dict(request.labels), request.reason[:_REASON_LENGTH]
            extra = fields(name=each.name, fingerprint=each.fingerprint, operator=caller.identity.id)
            log.info("host %s", each.decision.value, extra=extra)
            action = "enrollment.approve" if request.approve else "enrollment.deny"
            self._access.note(caller, action, each.name, fingerprint=each.fingerprint, labels=dict(request.labels))
        return fleet_pb2.DecideEnrollmentsResponse(enrollments=map(_enrollment, found.values()))

    async def ListAudit(
        self,
        request: fleet_pb2.ListAuditRequest,
        context: _Context[fleet_pb2.ListAuditRequest, fleet_pb2.ListAuditResponse],
    ) -> fleet_pb2.ListAuditResponse:
        """Return records of the audit log, in order."""
        await self._access.require(context, "pybible.v1.FleetService/ListAudit")
        limit = min(request.limit or _AUDIT_RECORDS, _AUDIT_RECORDS)
        records = await self._database.read(lambda connection: audit.after(connection, request.after, limit=limit))
        return fleet_pb2.ListAuditResponse(records=[dumps(asdict(record)) for record in records])

    async def WhoAmI(
        self,
        request: fleet_pb2.WhoAmIRequest,
        context: _Context[fleet_pb2.WhoAmIRequest, fleet_pb2.WhoAmIResponse],
    ) -> fleet_pb2.WhoAmIResponse:
        """Say who calls."""
        caller = await self._access.require(context, "pybible.v1.FleetService/WhoAmI")
        answer = fleet_pb2.WhoAmIResponse(
            operator=caller.identity.id,
            role=str(caller.role),
            address=caller.address,
            rules=[rule.name for rule in self._access.rights(caller).own_rules],
        )
        if caller.serial is not None:
            answer.serial = f"{caller.serial:x}"
            known = self._allowed.find(caller.serial)
            if known is not None:
                answer.expires.CopyFrom(_moment(known.expires))
        return answer

    async def CanI(
        self, request: fleet_pb2.CanIRequest, context: _Context[fleet_pb2.CanIRequest, fleet_pb2.CanIResponse]
    ) -> fleet_pb2.CanIResponse:
        """Say whether the caller may have a task run."""
        caller = await self._access.require(context, "pybible.v1.FleetService/CanI")
        record = await self._database.read(lambda connection: agents.find(connection, request.agent))
        work = Work(
            agent=record.name if record is not None else request.agent,
            labels=record.labels if record is not None else {},
            module=short_name(request.module),
            become=request.become_user,
            check=request.check,
        )
        refusal = self._access.rights(caller).refusal(work)
        return fleet_pb2.CanIResponse(allowed=not refusal, reason=refusal)

    def _agent(self, record: AgentRecord) -> fleet_pb2.Agent:
        message = fleet_pb2.Agent(
            agent_id=record.agent_id,
            name=record.name,
            hostname=record.hostname,
            state=fleet_pb2.SESSION_STATE_OFFLINE,
            version=record.version,
            labels=record.labels,
            epoch=record.epoch,
            enrolled=_moment(record.enrolled),
        )
        if record.last_seen is not None:
            message.since.CopyFrom(_moment(record.last_seen))
        expires = self._allowed.expiry(Identity(Role.AGENT, record.agent_id))
        if expires is not None:
            message.certificate_expires.CopyFrom(_moment(expires))
        sent = self._traffic.of(record.agent_id)
        message.contents_sent, message.content_bytes_sent = sent.contents, sent.bytes
        status = self._presence.status(record.agent_id)
        if status is not None:
            _add_status(message, status)
        return message


def _add_status(message: fleet_pb2.Agent, status: AgentStatus) -> None:
    message.state = fleet_pb2.SessionState.Value(f"SESSION_STATE_{status.state.name}")
    message.since.CopyFrom(_moment(status.since))
    message.address = status.details.address
    message.incarnation = status.incarnation
    message.boot_id = status.details.boot_id
    message.slots = status.slots
    message.running = status.running
    message.load = status.load
    message.modules.extend(status.details.modules)
    message.policy.extend(status.details.policy)


def _enrollment(waiting: Waiting) -> fleet_pb2.Enrollment:
    request = waiting.request
    return fleet_pb2.Enrollment(
        fingerprint=waiting.fingerprint,
        name=waiting.name,
        hostname=request.hostname,
        version=request.version,
        facts=waiting.facts,
        address=waiting.address,
        since=_moment(waiting.since),
        state=waiting.decision.value,
    )


def _token(record: TokenRecord) -> fleet_pb2.Token:
    return fleet_pb2.Token(
        token_id=record.token_id,
        created=_moment(record.created),
        expires=_moment(record.expires),
        uses_left=record.uses_left,
        name_pattern=record.name_pattern,
        labels=record.labels,
        revoked=record.revoked,
        role=str(record.operator_role or record.role),
    )


def _moment(seconds: float) -> Timestamp:
    moment = Timestamp()
    moment.FromNanoseconds(int(seconds * 1_000_000) * 1000)
    return moment
