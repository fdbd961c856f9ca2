"""serving: what is served where: a port each for agents, for enrolment and for operators, and the operators' socket."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import version

import grpc.aio

from pybible.server.controller import bounds, ports
from pybible.server.controller.config import Address, ControllerConfig
from pybible.server.controller.door import Door
from pybible.server.controller.local_users import LocalUsers
from pybible.server.controller.parts import Parts
from pybible.server.controller.pki.enrolment import NO_OPERATORS
from pybible.server.controller.services.access import Port
from pybible.server.controller.services.agents import AgentServicer
from pybible.server.controller.services.blobs import BlobServicer
from pybible.server.controller.services.elsewhere import Elsewhere
from pybible.server.controller.services.enrollment import EnrollmentServicer
from pybible.server.controller.services.fleet import FleetServicer
from pybible.server.controller.services.fleet_part import ControllerFacts, Fleet
from pybible.server.controller.services.health import GuardedHealth, GuardedReflection
from pybible.server.controller.services.rate import RateLimit
from pybible.server.controller.services.runs import RunServicer
from pybible.v1 import agent_pb2_grpc, blob_pb2_grpc, enrollment_pb2_grpc, fleet_pb2_grpc, run_pb2_grpc
from pybible.wire.private import write_private
from pybible.wire.tickets import door_path
from pybible.wire.values import dumps

log = logging.getLogger(__name__)

ADDRESSES_FILE = "addresses.json"
_AGENTS_SERVICES = ("pybible.v1.AgentService", "pybible.v1.BlobService")
_OPERATORS_SERVICES = ("pybible.v1.RunService", "pybible.v1.FleetService", "pybible.v1.BlobService")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Servers:
    """One for each place where calls come in. `operators` is None where no operator comes from elsewhere."""

    agents: grpc.aio.Server
    enrolment: grpc.aio.Server
    operators: grpc.aio.Server | None
    socket: grpc.aio.Server

    def every(self) -> tuple[grpc.aio.Server, ...]:
        return tuple(each for each in (self.agents, self.enrolment, self.operators, self.socket) if each is not None)


async def serve(parts: Parts, stack: AsyncExitStack) -> ControllerFacts:
    """Bind and start the ports; stop them, all at once, when the stack unwinds. ConfigError when one can't be had."""
    config = parts.config
    servers = _Servers(
        agents=ports.new_server(bounds.agents_port(config)),
        enrolment=ports.new_server(bounds.enrolment_port(config)),
        operators=ports.new_server(bounds.operators_port(config)) if config.operators_listen else None,
        socket=ports.new_server(),
    )
    facts = _bind(parts, servers)
    door = Door(
        parts.tickets,
        LocalUsers(roles=config.local_users).find,
        refused=parts.access.at(Port.SOCKET).turned_away,
    )
    await stack.enter_async_context(door.open(ports.bind_door(config.socket_path, group=config.socket_group)))
    healths = [
        await _fill_agents(servers.agents, parts, facts),
        await _fill_socket(servers.socket, parts, facts),
    ]
    if servers.operators is not None:
        healths.append(await _fill_operators(servers.operators, parts, facts))
    _fill_enrolment(servers.enrolment, parts, facts)
    stack.push_async_callback(_stop, parts, servers.every(), healths)
    for server in servers.every():
        await server.start()
    _announce(config, facts)
    return facts


def _bind(parts: Parts, servers: _Servers) -> ControllerFacts:
    config, authority = parts.config, parts.authority
    mutual = ports.credentials(authority, client_authority=authority.certificate_pem)
    agents_at = ports.bind(servers.agents, Address.parse(config.listen), mutual)
    enrolment_at = ports.bind(servers.enrolment, Address.parse(config.enroll_listen), ports.credentials(authority))
    operator_address = ""
    if servers.operators is not None:
        mutual = ports.credentials(authority, client_authority=authority.certificate_pem)
        operators_at = ports.bind(servers.operators, Address.parse(config.operators_listen), mutual)
        operator_address = config.advertised_to_operators(operators_at)
    ports.bind_socket(servers.socket, config.socket_path, group=config.socket_group)
    return ControllerFacts(
        version=version("pybible"),
        started=time.time(),
        agent_address=config.advertised(agents_at),
        enroll_address=config.advertised(enrolment_at),
        operator_address=operator_address,
        authority_pin=authority.pin,
    )


async def _fill_agents(server: grpc.aio.Server, parts: Parts, facts: ControllerFacts) -> GuardedHealth:
    """Serve agents."""
    access = parts.access.at(Port.AGENTS)
    agents = AgentServicer(access=access, sessions=parts.sessions, enrolment=parts.enrolment, rotation=parts.rotation)
    agent_pb2_grpc.add_AgentServiceServicer_to_server(agents, server)
    blobs = BlobServicer(access=access, blobs=parts.blobs, traffic=parts.traffic)
    blob_pb2_grpc.add_BlobServiceServicer_to_server(blobs, server)
    where = f"operators connect to {facts.operator_address}" if facts.operator_address else NO_OPERATORS
    Elsewhere(access, where).add_to(server, set(_OPERATORS_SERVICES) - set(_AGENTS_SERVICES))
    return await _health(parts, Port.AGENTS, server, _AGENTS_SERVICES)


async def _fill_operators(server: grpc.aio.Server, parts: Parts, facts: ControllerFacts) -> GuardedHealth:
    """Serve operators from elsewhere."""
    _add_operators_services(server, parts, facts, Port.OPERATORS)
    where = f"agents connect to {facts.agent_address}"
    Elsewhere(parts.access.at(Port.OPERATORS), where).add_to(server, set(_AGENTS_SERVICES) - set(_OPERATORS_SERVICES))
    return await _health(parts, Port.OPERATORS, server, _OPERATORS_SERVICES)


async def _fill_socket(server: grpc.aio.Server, parts: Parts, facts: ControllerFacts) -> GuardedHealth:
    """Serve operators on this machine."""
    _add_operators_services(server, parts, facts, Port.SOCKET)
    access = parts.access.at(Port.SOCKET)
    GuardedReflection(access, (*_OPERATORS_SERVICES, "grpc.health.v1.Health")).add_to(server)
    return await _health(parts, Port.SOCKET, server, _OPERATORS_SERVICES)


def _fill_enrolment(server: grpc.aio.Server, parts: Parts, facts: ControllerFacts) -> None:
    """Serve whoever has no certificate yet."""
    config = parts.config
    enrolment = EnrollmentServicer(
        enrolment=parts.enrolment,
        waiting=parts.waiting,
        admissions=config.admit,
        access=parts.access.at(Port.ENROLMENT),
        authority=parts.authority,
        facts=facts,
        limit=RateLimit(rate=config.enroll_rate, burst=10 * config.enroll_rate),
    )
    enrollment_pb2_grpc.add_EnrollmentServiceServicer_to_server(enrolment, server)


async def _health(parts: Parts, port: Port, server: grpc.aio.Server, services: Iterable[str]) -> GuardedHealth:
    health = GuardedHealth(parts.access.at(port))
    health.add_to(server)
    await health.serving(services)
    return health


def _add_operators_services(server: grpc.aio.Server, parts: Parts, facts: ControllerFacts, port: Port) -> None:
    access = parts.access.at(port)
    blobs = BlobServicer(access=access, blobs=parts.blobs, traffic=parts.traffic)
    blob_pb2_grpc.add_BlobServiceServicer_to_server(blobs, server)
    runs = RunServicer(access=access, runs=parts.runs, expirations=parts.expirations)
    run_pb2_grpc.add_RunServiceServicer_to_server(runs, server)
    fleet = Fleet(
        access=access,
        database=parts.database,
        enrolment=parts.enrolment,
        rotation=parts.rotation,
        waiting=parts.waiting,
        allowed=parts.allowed,
        runs=parts.runs,
        presence=parts.sessions,
        traffic=parts.traffic,
        facts=facts,
    )
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(FleetServicer(fleet), server)


def _announce(config: ControllerConfig, facts: ControllerFacts) -> None:
    """Write down where the ports are: with port 0 nobody else knows."""
    addresses = {
        "agents": facts.agent_address,
        "enrolment": facts.enroll_address,
        "operators": facts.operator_address,
        "socket": str(config.socket_path),
        "authority_pin": facts.authority_pin,
    }
    write_private(config.state / ADDRESSES_FILE, dumps(addresses) + b"\n")


async def _stop(parts: Parts, servers: tuple[grpc.aio.Server, ...], healths: list[GuardedHealth]) -> None:
    """End the runs, then the streams of agents, then every other call, each within the drain timeout."""
    log.info("controller stopping")
    (parts.config.state / ADDRESSES_FILE).unlink(missing_ok=True)
    for health in healths:
        await health.stopping()
    try:
        # Runs first: what they cancel still has to reach the agents.
        await parts.runs.shutdown(seconds=parts.config.drain_timeout)
        parts.sessions.shutdown()
        await _stop_servers(servers, parts.config.drain_timeout)
    except asyncio.CancelledError:
        # Nobody waits for the drain any more.
        parts.sessions.shutdown()
        await _stop_servers(servers, 0.0)
        raise
    finally:
        # However short the end was: the history, which is written after this, says how each run ended.
        parts.runs.abandon()
        for path in (parts.config.socket_path, door_path(parts.config.socket_path)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


async def _stop_servers(servers: tuple[grpc.aio.Server, ...], seconds: float) -> None:
    async with asyncio.TaskGroup() as group:
        for server in servers:
            group.create_task(server.stop(seconds))
