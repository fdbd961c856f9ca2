"""agents: AgentService: the session of an agent, and the renewal of its certificate."""

from __future__ import annotations

import grpc
import grpc.aio

from pybible.server.controller.pki.enrolment import Enrolment
from pybible.server.controller.pki.rotation import Rotation
from pybible.server.controller.services.access import Access
from pybible.server.controller.services.rate import RateLimit
from pybible.server.controller.sessions.registry import SessionRegistry
from pybible.v1 import agent_pb2, agent_pb2_grpc
from pybible.wire.errors import PybibleError

# Of one agent: so many at once, and then so many a second.
_ATTACHES, _ATTACHES_A_SECOND = 30.0, 2.0


class AgentServicer(agent_pb2_grpc.AgentServiceServicer):
    """Lets agents in, and hands their streams to the sessions."""

    def __init__(self, *, access: Access, sessions: SessionRegistry, enrolment: Enrolment, rotation: Rotation) -> None:
        self._access = access
        self._sessions = sessions
        # One that comes back all the time must not take the others' turns.
        self._limit = RateLimit(rate=_ATTACHES_A_SECOND, burst=_ATTACHES)
        self._enrolment = enrolment
        self._rotation = rotation

    async def Attach(  # type: ignore[override]  # read and written through the context: one reader, one writer
        self,
        request_iterator: object,
        context: grpc.aio.ServicerContext[agent_pb2.AgentMessage, agent_pb2.ControllerMessage],
    ) -> None:
        """Serve one agent's stream until it ends."""
        caller = await self._access.require(context, "pybible.v1.AgentService/Attach")
        agent_id = caller.identity.id
        if not self._limit.take(agent_id):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "this agent attaches too often")
        greeting = await self._sessions.greet(context, agent_id=agent_id)
        if greeting is not None:
            # It may have been revoked while it was about to say hello.
            await self._access.require(context, "pybible.v1.AgentService/Attach")
            if caller.issuer is not None:
                self._rotation.attached(agent_id, issuer=caller.issuer)
            await self._sessions.serve(
                context, greeting, agent_id=agent_id, address=caller.address, expires=caller.expires
            )

    async def RenewCertificate(
        self,
        request: agent_pb2.RenewCertificateRequest,
        context: grpc.aio.ServicerContext[agent_pb2.RenewCertificateRequest, agent_pb2.RenewCertificateResponse],
    ) -> agent_pb2.RenewCertificateResponse:
        """Exchange a certificate that is still valid for a new one."""
        caller = await self._access.require(context, "pybible.v1.AgentService/RenewCertificate")
        try:
            certificate = await self._enrolment.renew(caller.identity, request.csr)
        except PybibleError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._access.note(caller, "certificate.renew", caller.identity.uri)
        root = self._rotation.authority.certificate_pem
        return agent_pb2.RenewCertificateResponse(certificate=certificate, authority=root)
