"""fleet_enrollments: the calls of FleetService that are about hosts which wait to be enrolled."""

from __future__ import annotations

import logging

import grpc

from pybible.server.controller.pki.waiting import Decision, Waiting
from pybible.server.controller.services.fleet_part import Context, FleetPart, moment
from pybible.v1 import fleet_pb2
from pybible.wire.errors import PybibleError
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

_REASON_LENGTH = 1000


class EnrollmentCalls(FleetPart):
    """Shows the hosts that wait, and lets operators decide."""

    async def ListEnrollments(
        self,
        request: fleet_pb2.ListEnrollmentsRequest,
        context: Context[fleet_pb2.ListEnrollmentsRequest, fleet_pb2.ListEnrollmentsResponse],
    ) -> fleet_pb2.ListEnrollmentsResponse:
        """Return the hosts that wait, the oldest first."""
        await self._access.require(context, "pybible.v1.FleetService/ListEnrollments")
        found = [_enrollment(each) for each in self._waiting if each.enrolled is None]
        return fleet_pb2.ListEnrollmentsResponse(enrollments=found)

    async def DecideEnrollments(
        self,
        request: fleet_pb2.DecideEnrollmentsRequest,
        context: Context[fleet_pb2.DecideEnrollmentsRequest, fleet_pb2.DecideEnrollmentsResponse],
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


def _enrollment(waiting: Waiting) -> fleet_pb2.Enrollment:
    request = waiting.request
    return fleet_pb2.Enrollment(
        fingerprint=waiting.fingerprint,
        name=waiting.name,
        hostname=request.hostname,
        version=request.version,
        facts=waiting.facts,
        address=waiting.address,
        since=moment(waiting.since),
        state=waiting.decision.value,
    )
