"""fleet_records: the calls of FleetService that tell of the controller itself, of the caller, and of who did what."""

from __future__ import annotations

from dataclasses import asdict

from pybible.server.controller.rights import Work
from pybible.server.controller.services.fleet_part import Context, FleetPart, moment
from pybible.server.controller.store import agents, audit
from pybible.server.controller.store.database import LAST_NUMBER
from pybible.v1 import fleet_pb2
from pybible.wire.tasks import short_name
from pybible.wire.values import dumps

_AUDIT_RECORDS = 200


class RecordCalls(FleetPart):
    """Says who answers, who asks, what he may do, and who did what."""

    async def GetController(
        self,
        request: fleet_pb2.GetControllerRequest,
        context: Context[fleet_pb2.GetControllerRequest, fleet_pb2.GetControllerResponse],
    ) -> fleet_pb2.GetControllerResponse:
        """Say who answers here."""
        await self._access.require(context, "pybible.v1.FleetService/GetController")
        return fleet_pb2.GetControllerResponse(
            version=self._facts.version,
            started=moment(self._facts.started),
            agent_address=self._facts.agent_address,
            enrollment_address=self._facts.enroll_address,
            operator_address=self._facts.operator_address,
            authority_pin=self._facts.authority_pin,
        )

    async def ListAudit(
        self,
        request: fleet_pb2.ListAuditRequest,
        context: Context[fleet_pb2.ListAuditRequest, fleet_pb2.ListAuditResponse],
    ) -> fleet_pb2.ListAuditResponse:
        """Return records of the audit log, in order."""
        await self._access.require(context, "pybible.v1.FleetService/ListAudit")
        limit = min(request.limit or _AUDIT_RECORDS, _AUDIT_RECORDS)
        after = min(request.after, LAST_NUMBER)
        records = await self._database.read(lambda connection: audit.after(connection, after, limit=limit))
        return fleet_pb2.ListAuditResponse(records=[dumps(asdict(record)) for record in records])

    async def WhoAmI(
        self,
        request: fleet_pb2.WhoAmIRequest,
        context: Context[fleet_pb2.WhoAmIRequest, fleet_pb2.WhoAmIResponse],
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
        if caller.expires is not None:
            answer.expires.CopyFrom(moment(caller.expires))
        return answer

    async def CanI(
        self, request: fleet_pb2.CanIRequest, context: Context[fleet_pb2.CanIRequest, fleet_pb2.CanIResponse]
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
