"""fleet_agents: the calls of FleetService that are about agents."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

import grpc

from pybible.server.controller.services.fleet_part import Context, FleetPart, moment
from pybible.server.controller.store import agents, facts
from pybible.server.controller.store.agents import AgentRecord
from pybible.v1 import fleet_pb2

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class AgentCalls(FleetPart):
    """Answers what operators ask about agents, and takes their certificates back."""

    async def ListAgents(
        self,
        request: fleet_pb2.ListAgentsRequest,
        context: Context[fleet_pb2.ListAgentsRequest, fleet_pb2.ListAgentsResponse],
    ) -> fleet_pb2.ListAgentsResponse:
        """Return the enrolled agents, by name, a page at a time."""
        await self._access.require(context, "pybible.v1.FleetService/ListAgents")
        return self._agents.page(request.after)

    async def GetAgent(
        self,
        request: fleet_pb2.GetAgentRequest,
        context: Context[fleet_pb2.GetAgentRequest, fleet_pb2.GetAgentResponse],
    ) -> fleet_pb2.GetAgentResponse:
        """Return one agent, by name or id."""
        await self._access.require(context, "pybible.v1.FleetService/GetAgent")
        record = await _existing(self._find(request.agent), request.agent, context)
        message = self._agents.one(record)
        known = await self._database.read(lambda connection: facts.find(connection, record.agent_id))
        if known is not None:
            message.facts_gathered.CopyFrom(moment(known.gathered))
        return fleet_pb2.GetAgentResponse(agent=message)

    async def GetFacts(
        self,
        request: fleet_pb2.GetFactsRequest,
        context: Context[fleet_pb2.GetFactsRequest, fleet_pb2.GetFactsResponse],
    ) -> fleet_pb2.GetFactsResponse:
        """Return the facts that an agent pushed last."""
        await self._access.require(context, "pybible.v1.FleetService/GetFacts")
        record = await _existing(self._find(request.agent), request.agent, context)
        known = await self._database.read(lambda connection: facts.find(connection, record.agent_id))
        if known is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"agent {record.name!r} has pushed no facts")
        return fleet_pb2.GetFactsResponse(facts=known.facts, moving=known.moving, gathered=moment(known.gathered))

    async def RemoveAgent(
        self,
        request: fleet_pb2.RemoveAgentRequest,
        context: Context[fleet_pb2.RemoveAgentRequest, fleet_pb2.RemoveAgentResponse],
    ) -> fleet_pb2.RemoveAgentResponse:
        """Revoke an agent's certificates, end its session, free its name."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RemoveAgent")
        record = await _existing(self._enrolment.remove_agent(request.agent), request.agent, context)
        self._access.note(caller, "agent.remove", record.name, agent_id=record.agent_id)
        return fleet_pb2.RemoveAgentResponse()

    async def RevokeAgent(
        self,
        request: fleet_pb2.RevokeAgentRequest,
        context: Context[fleet_pb2.RevokeAgentRequest, fleet_pb2.RevokeAgentResponse],
    ) -> fleet_pb2.RevokeAgentResponse:
        """Revoke an agent's certificates, end its session."""
        caller = await self._access.require(context, "pybible.v1.FleetService/RevokeAgent")
        record = await _existing(self._enrolment.revoke_agent(request.agent), request.agent, context)
        self._access.note(caller, "agent.revoke", record.name, agent_id=record.agent_id)
        return fleet_pb2.RevokeAgentResponse()

    async def _find(self, name_or_id: str) -> AgentRecord | None:
        return await self._database.read(lambda connection: agents.find(connection, name_or_id))


async def _existing(
    found: Awaitable[AgentRecord | None], name_or_id: str, context: Context[_Request, _Response]
) -> AgentRecord:
    """Return the agent that is looked for, or abort the call when there is none."""
    record = await found
    if record is None:
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no agent is enrolled as {name_or_id!r}")
    return record
