"""fleet: FleetService, for operators: who is enrolled, who is there, and who may join."""

from __future__ import annotations

from pybible.server.controller.services.fleet_agents import AgentCalls
from pybible.server.controller.services.fleet_authority import AuthorityCalls
from pybible.server.controller.services.fleet_enrollments import EnrollmentCalls
from pybible.server.controller.services.fleet_operators import OperatorCalls
from pybible.server.controller.services.fleet_records import RecordCalls


class FleetServicer(AgentCalls, OperatorCalls, EnrollmentCalls, AuthorityCalls, RecordCalls):
    """Answers operators' questions about the fleet."""
