"""enrollment: EnrollmentService, the one thing that a caller without a certificate may reach."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Never
from urllib.parse import unquote

import grpc
import grpc.aio

from pybible.server.controller.pki.authority import Authority
from pybible.server.controller.pki.enrolment import (
    Enrolled,
    Enrolment,
    EnrolmentRefused,
    EnrolmentRequest,
    check_name,
    requested_key,
)
from pybible.server.controller.pki.waiting import Admission, Decision, Waiting, WaitingRoom, network_of
from pybible.server.controller.services.access import Access, Caller, Context
from pybible.server.controller.services.fleet_part import ControllerFacts
from pybible.server.controller.services.rate import RateLimit
from pybible.v1 import enrollment_pb2, enrollment_pb2_grpc
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

_SECRET_CHARACTERS = 512
_NAME_CHARACTERS = 253
_VERSION_CHARACTERS = 64
_POLL_AFTER = timedelta(seconds=5)


class EnrollmentServicer(enrollment_pb2_grpc.EnrollmentServiceServicer):
    """Answers on the enrolment port, and says where to go from there."""

    # A guess at a secret is hopeless; this only keeps a guesser from keeping the controller busy.
    REFUSED_COST = 19.0

    def __init__(
        self,
        *,
        enrolment: Enrolment,
        waiting: WaitingRoom,
        admissions: tuple[Admission, ...],
        authority: Authority,
        facts: ControllerFacts,
        access: Access,
        limit: RateLimit | None = None,
    ) -> None:
        self._access = access
        self._enrolment = enrolment
        self._waiting = waiting
        self._admissions = admissions
        self._admitting = asyncio.Lock()
        self._authority = authority
        self._facts = facts
        self._limit = limit or RateLimit()

    async def GetAuthority(
        self,
        request: enrollment_pb2.GetAuthorityRequest,
        context: grpc.aio.ServicerContext[enrollment_pb2.GetAuthorityRequest, enrollment_pb2.GetAuthorityResponse],
    ) -> enrollment_pb2.GetAuthorityResponse:
        """Return the CA certificate."""
        if not self._limit.take(network_of(_address(context.peer()))):
            await self._abort_limited(context)
        return enrollment_pb2.GetAuthorityResponse(authority=self._authority.certificate_pem)

    async def Enroll(
        self,
        request: enrollment_pb2.EnrollRequest,
        context: grpc.aio.ServicerContext[enrollment_pb2.EnrollRequest, enrollment_pb2.EnrollResponse],
    ) -> enrollment_pb2.EnrollResponse:
        """Exchange a join token for a certificate, or let a host without one wait for an operator."""
        address = _address(context.peer())
        if not self._limit.take(network_of(address)):
            await self._abort_limited(context)
        asked = EnrolmentRequest(
            secret=request.token[:_SECRET_CHARACTERS],
            csr=request.csr,
            name=request.name[:_NAME_CHARACTERS],
            hostname=request.hostname[:_NAME_CHARACTERS],
            version=request.version[:_VERSION_CHARACTERS],
        )
        try:
            if asked.secret:
                return self._issued(await self._enrolment.enrol(asked), address)
            return await self._wait(asked, dict(request.facts), address)
        except EnrolmentRefused as error:
            self._limit.take(network_of(address), self.REFUSED_COST)
            self._access.count_refusal("enrollment")
            log.warning("enrolment refused", extra=fields(address=address, reason=error.message))
            return _denied(str(error))

    async def PollEnrollment(
        self,
        request: enrollment_pb2.PollEnrollmentRequest,
        context: grpc.aio.ServicerContext[enrollment_pb2.PollEnrollmentRequest, enrollment_pb2.EnrollResponse],
    ) -> enrollment_pb2.EnrollResponse:
        """Say what became of a host that waits."""
        if not self._limit.take(network_of(_address(context.peer()))):
            await self._abort_limited(context)
        try:
            waiting = self._waiting.find(request.enrollment_id, requested_key(request.csr))
            if waiting is not None:
                return await self._decided(waiting)
        except EnrolmentRefused as error:
            return _denied(str(error))
        return await context.abort(grpc.StatusCode.NOT_FOUND, "no host waits under that number with that key")

    async def _wait(
        self, asked: EnrolmentRequest, facts: dict[str, str], address: str
    ) -> enrollment_pb2.EnrollResponse:
        check_name(asked.name or asked.hostname)
        waiting = self._waiting.ask(asked, key=requested_key(asked.csr), address=address, facts=facts)
        if waiting.decision is Decision.OPEN:
            rule = next((each for each in self._admissions if each.admits(waiting)), None)
            if rule is not None:
                waiting.decision, waiting.labels = Decision.APPROVED, rule.labels
            extra = fields(name=waiting.name, address=address, fingerprint=waiting.fingerprint)
            log.info("a host is let in by a rule" if rule else "a host waits to be enrolled", extra=extra)
        return await self._decided(waiting)

    async def _decided(self, waiting: Waiting) -> enrollment_pb2.EnrollResponse:
        match waiting.decision:
            case Decision.APPROVED:
                async with self._admitting:
                    if waiting.enrolled is None:
                        waiting.enrolled = await self._enrolment.admit(waiting.request, labels=waiting.labels)
                return self._issued(waiting.enrolled, waiting.address)
            case Decision.DENIED:
                return _denied(waiting.reason or "an operator turned it away")
        answer = enrollment_pb2.EnrollResponse(
            state=enrollment_pb2.EnrollResponse.STATE_PENDING, enrollment_id=waiting.enrollment_id
        )
        answer.poll_after.FromTimedelta(_POLL_AFTER)
        return answer

    async def _abort_limited(self, context: Context) -> Never:
        self._access.count_refusal("rate_limited")
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many enrolment requests from this address")

    def _issued(self, enrolled: Enrolled, address: str) -> enrollment_pb2.EnrollResponse:
        holder = Caller(identity=enrolled.identity, address=address)
        self._access.note(holder, "certificate.issue", enrolled.identity.uri, name=enrolled.name)
        return enrollment_pb2.EnrollResponse(
            state=enrollment_pb2.EnrollResponse.STATE_ISSUED,
            certificate=enrolled.certificate,
            authority=self._authority.certificate_pem,
            name=enrolled.name,
            agent_address=self._facts.agent_address,
            operator_address=self._facts.operator_address,
        )


def _denied(message: str) -> enrollment_pb2.EnrollResponse:
    return enrollment_pb2.EnrollResponse(state=enrollment_pb2.EnrollResponse.STATE_DENIED, message=message)


def _address(peer: str) -> str:
    """Return the address of gRPC's `ipv4:127.0.0.1:4000` or `ipv6:%5B::1%5D:4000`, without the port."""
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]")
