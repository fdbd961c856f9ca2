"""daemon: puts a controller together from its parts, and takes it apart again.

Used by pybible-controller and, for the embedded default, inside pybible-ctl.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from pybible.server.controller import bounds, ports, sdnotify
from pybible.server.controller.blobs.content import BlobStore
from pybible.server.controller.blobs.traffic import Traffic
from pybible.server.controller.config import Address, ControllerConfig
from pybible.server.controller.dispatch.router import Router
from pybible.server.controller.door import Door
from pybible.server.controller.local_users import LocalUsers, Peer
from pybible.server.controller.metrics.sources import Sources
from pybible.server.controller.pki.allowed import AllowedCertificates
from pybible.server.controller.pki.authority import Authority, open_authority
from pybible.server.controller.pki.enrolment import Enrolment, Lifetimes, TokenRequest
from pybible.server.controller.pki.rotation import Rotation
from pybible.server.controller.pki.waiting import WaitingRoom
from pybible.server.controller.runs.history import History
from pybible.server.controller.runs.registry import RunRegistry
from pybible.server.controller.runs.run import RunSettings
from pybible.server.controller.services.access import Access, Caller
from pybible.server.controller.services.agents import AgentServicer
from pybible.server.controller.services.blobs import BlobServicer
from pybible.server.controller.services.enrollment import EnrollmentServicer
from pybible.server.controller.services.fleet import FleetServicer
from pybible.server.controller.services.fleet_part import ControllerFacts, Fleet
from pybible.server.controller.services.health import GuardedHealth, GuardedReflection
from pybible.server.controller.services.rate import RateLimit
from pybible.server.controller.services.runs import RunServicer
from pybible.server.controller.sessions.registry import SessionRegistry
from pybible.server.controller.sessions.settings import SessionSettings
from pybible.server.controller.state import locked_state
from pybible.server.controller.store import certificates, tokens
from pybible.server.controller.store.database import Database, open_database
from pybible.server.controller.store.engine import sqlite_url
from pybible.server.controller.tickets import Tickets
from pybible.v1 import agent_pb2_grpc, blob_pb2_grpc, enrollment_pb2_grpc, fleet_pb2_grpc, run_pb2_grpc
from pybible.wire.errors import ConfigError
from pybible.wire.identity import Identity, JoinToken, OperatorRole, Role
from pybible.wire.logs import fields
from pybible.wire.private import write_private
from pybible.wire.tickets import door_path
from pybible.wire.values import dumps

if TYPE_CHECKING:
    from pybible.server.controller.metrics.monitor import Monitor

log = logging.getLogger(__name__)

ADDRESSES_FILE = "addresses.json"
_OPERATORS_SERVICES = ("pybible.v1.RunService", "pybible.v1.FleetService", "pybible.v1.BlobService")
_SERVICES = ("pybible.v1.AgentService", *_OPERATORS_SERVICES)
# Who acts where nobody asked.
_ITSELF = Caller(identity=Identity(Role.CONTROLLER, "main"), address="")
# What expired is kept so long for listings.
_EXPIRED_KEPT = 30 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the ports of a controller serve."""

    config: ControllerConfig
    database: Database
    authority: Authority
    allowed: AllowedCertificates
    enrolment: Enrolment
    rotation: Rotation
    waiting: WaitingRoom
    access: Access
    tickets: Tickets
    history: History
    blobs: BlobStore
    traffic: Traffic
    health: GuardedHealth
    sessions: SessionRegistry
    runs: RunRegistry


class Controller:
    """A running controller. Made by `start`."""

    def __init__(self, parts: Parts, *, facts: ControllerFacts) -> None:
        self._parts = parts
        self.facts = facts
        # What answers a monitoring system, None for nothing.
        self.monitor: Monitor | None = None

    @staticmethod
    @asynccontextmanager
    async def start(config: ControllerConfig) -> AsyncIterator[Controller]:
        """Open the state folder, serve its ports, and close everything in order when the block ends.

        ConfigError when the folder, the store or a port can't be had.
        """
        async with AsyncExitStack() as stack:
            stack.enter_context(locked_state(config.state))
            try:
                monitor = await _monitor(config, stack)
                parts = await _parts(config, stack)
                controller = Controller(parts, facts=await _serve(parts, stack))
                if monitor is not None:
                    _show(monitor, controller, stack)
            except OSError as error:
                raise ConfigError(f"{error.filename or config.state}: {error.strerror or error}") from error
            await parts.health.serving(_SERVICES)
            log.info(
                "controller ready",
                extra=fields(
                    agents=controller.agent_address,
                    enrolment=controller.enroll_address,
                    operators=controller.socket_path,
                ),
            )
            yield controller

    @property
    def agent_address(self) -> str:
        """HOST:PORT of AgentService, as agents reach it."""
        return self.facts.agent_address

    @property
    def enroll_address(self) -> str:
        """HOST:PORT of EnrollmentService, as hosts reach it."""
        return self.facts.enroll_address

    @property
    def socket_path(self) -> Path:
        """The operators' socket."""
        return self._parts.config.socket_path

    @property
    def authority_pem(self) -> bytes:
        """The root's certificate, PEM."""
        return self._parts.authority.certificate_pem

    async def create_token(
        self,
        *,
        name_pattern: str = "",
        uses: int = 1,
        ttl: float | None = None,
        labels: Mapping[str, str] | None = None,
        operator_role: OperatorRole | None = None,
    ) -> str:
        """Return a join token, for whoever started the controller in this process. `ttl` in seconds."""
        request = TokenRequest(
            ttl=ttl, uses=uses, name_pattern=name_pattern, labels=labels or {}, operator_role=operator_role
        )
        secret, _ = await self._parts.enrolment.create_token(request)
        return JoinToken(address=self.enroll_address, pin=self.facts.authority_pin, secret=secret).encode()

    def own_ticket(self) -> str:
        """Return what lets whoever started the controller in this process call it as an admin, until it ends."""
        peer = Peer(pid=os.getpid(), uid=os.geteuid(), gid=os.getegid())
        return self._parts.tickets.issue(LocalUsers().find(peer), lifetime=None)

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set. Meanwhile systemd gets its signs of life."""
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(sdnotify.keep_alive())
            await stop.wait()
            beat.cancel()


async def _monitor(config: ControllerConfig, stack: AsyncExitStack) -> Monitor | None:
    """Answer a monitoring system from the beginning to the end, if the configuration says where."""
    if not config.metrics_listen:
        return None
    # Imported only here: the controller inside pybible-ctl has no use for it, and its start counts.
    from pybible.server.controller.metrics.monitor import monitoring

    return await stack.enter_async_context(monitoring(Address.parse(config.metrics_listen)))


def _show(monitor: Monitor, controller: Controller, stack: AsyncExitStack) -> None:
    """Tell it what there is to see, and, once the controller ends, that it does."""
    parts = controller._parts
    sources = Sources(
        version=controller.facts.version,
        database=parts.database,
        sessions=parts.sessions,
        runs=parts.runs,
        counts=parts.history.counts,
        access=parts.access,
        waiting=parts.waiting,
        allowed=parts.allowed,
        authority=parts.authority,
        traffic=parts.traffic,
    )
    monitor.show(sources, usage=parts.blobs.usage)
    controller.monitor = monitor
    stack.callback(monitor.drain)
    log.info("metrics are served", extra=fields(address=monitor.address))


async def _parts(config: ControllerConfig, stack: AsyncExitStack) -> Parts:
    """Open what a controller stands on."""
    url = config.database or sqlite_url(config.state / "controller.db")
    database = await stack.enter_async_context(open_database(url))
    issuing_lifetime = timedelta(seconds=config.issuing_authority_ttl)
    authority = await asyncio.to_thread(open_authority, config.state / "pki", issuing_lifetime=issuing_lifetime)
    blobs = BlobStore(config.state / "blobs", limit=config.blob_limit)
    await _forget(config, database, blobs)
    allowed = AllowedCertificates(await database.read(lambda connection: certificates.live(connection, time.time())))
    enrolment = Enrolment(
        database=database,
        authority=authority,
        allowed=allowed,
        lifetimes=_lifetimes(config),
    )
    history = History(database)
    tickets = Tickets()
    access = Access(allowed, tickets=tickets, rules=config.rules, note=history.note)
    await stack.enter_async_context(history.writing())
    sessions = SessionRegistry(database=database, ledger=history, settings=_session_settings(config))
    stack.callback(sessions.close)
    enrolment.shut_out = sessions.remove
    rotation = Rotation(
        authority=authority,
        database=database,
        allowed=allowed,
        sessions=sessions,
        lifetime=issuing_lifetime,
        by_itself=lambda serial: access.note(_ITSELF, "authority.rotate", f"{serial:x}"),
    )
    await stack.enter_async_context(rotation.running())
    runs = RunRegistry(
        database=database,
        history=history,
        router=Router(sessions),
        settings=_run_settings(config),
        discard=lambda sha256, unused_since: blobs.remove(sha256, unused_since=unused_since),
    )
    await runs.recover()
    return Parts(
        config=config,
        database=database,
        authority=authority,
        allowed=allowed,
        enrolment=enrolment,
        rotation=rotation,
        waiting=WaitingRoom(limit=config.waiting_limit, per_address=config.waiting_per_address),
        access=access,
        tickets=tickets,
        history=history,
        blobs=blobs,
        traffic=Traffic(),
        health=GuardedHealth(access),
        sessions=sessions,
        runs=runs,
    )


def _lifetimes(config: ControllerConfig) -> Lifetimes:
    return Lifetimes(
        agent=timedelta(seconds=config.agent_certificate_ttl),
        operator=timedelta(seconds=config.operator_certificate_ttl),
        token=timedelta(seconds=config.token_ttl),
    )


def _session_settings(config: ControllerConfig) -> SessionSettings:
    return SessionSettings(
        heartbeat_interval=config.heartbeat_interval,
        disconnect_grace=config.disconnect_grace,
        accept_timeout=config.accept_timeout,
        hello_timeout=config.handshake_timeout,
    )


def _run_settings(config: ControllerConfig) -> RunSettings:
    return RunSettings(forks=config.forks, max_forks=config.max_forks, disconnect_grace=config.disconnect_grace)


async def _forget(config: ControllerConfig, database: Database, blobs: BlobStore) -> None:
    """Drop what nobody will ask for again."""
    before = time.time() - _EXPIRED_KEPT
    await database.write(lambda connection: tokens.forget_expired(connection, before))
    await database.write(lambda connection: certificates.forget_expired(connection, before))
    removed = await asyncio.to_thread(blobs.collect, unused_for=config.blob_unused_for)
    if removed:
        log.info("old blobs removed", extra=fields(blobs=removed))


async def _serve(parts: Parts, stack: AsyncExitStack) -> ControllerFacts:
    """Bind and start the three ports; stop them, all at once, when the stack unwinds."""
    config, authority = parts.config, parts.authority
    agents = ports.new_server(bounds.agents_port(config))
    enrollment = ports.new_server(bounds.enrolment_port(config))
    operators = ports.new_server()
    mutual = ports.credentials(authority, client_authority=authority.certificate_pem)
    agents_at = ports.bind(agents, Address.parse(config.listen), mutual)
    enrollment_at = ports.bind(enrollment, Address.parse(config.enroll_listen), ports.credentials(authority))
    ports.bind_socket(operators, config.socket_path, group=config.socket_group)
    door = Door(parts.tickets, LocalUsers(roles=config.local_users).find, refused=parts.access.turned_away)
    await stack.enter_async_context(door.open(ports.bind_door(config.socket_path, group=config.socket_group)))
    facts = ControllerFacts(
        version=version("pybible"),
        started=time.time(),
        agent_address=config.advertised(agents_at),
        enroll_address=config.advertised(enrollment_at),
        authority_pin=authority.pin,
    )
    for server in (agents, operators):
        _add_operators_services(server, parts, facts)
    agent_pb2_grpc.add_AgentServiceServicer_to_server(
        AgentServicer(access=parts.access, sessions=parts.sessions, enrolment=parts.enrolment, rotation=parts.rotation),
        agents,
    )
    GuardedReflection(parts.access, (*_OPERATORS_SERVICES, "grpc.health.v1.Health")).add_to(operators)
    enrollment_pb2_grpc.add_EnrollmentServiceServicer_to_server(
        EnrollmentServicer(
            enrolment=parts.enrolment,
            waiting=parts.waiting,
            admissions=config.admit,
            access=parts.access,
            authority=authority,
            agent_address=facts.agent_address,
            limit=RateLimit(rate=config.enroll_rate, burst=10 * config.enroll_rate),
        ),
        enrollment,
    )
    stack.push_async_callback(_stop, parts, (agents, enrollment, operators))
    for server in (agents, enrollment, operators):
        await server.start()
    _announce(config, facts)
    return facts


def _add_operators_services(server: grpc.aio.Server, parts: Parts, facts: ControllerFacts) -> None:
    """Add what operators may call, on their socket and with a certificate on the agents' port."""
    parts.health.add_to(server)
    blobs = BlobServicer(access=parts.access, blobs=parts.blobs, traffic=parts.traffic)
    blob_pb2_grpc.add_BlobServiceServicer_to_server(blobs, server)
    run_pb2_grpc.add_RunServiceServicer_to_server(RunServicer(access=parts.access, runs=parts.runs), server)
    fleet_pb2_grpc.add_FleetServiceServicer_to_server(
        FleetServicer(
            Fleet(
                access=parts.access,
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
        ),
        server,
    )


def _announce(config: ControllerConfig, facts: ControllerFacts) -> None:
    """Write down where the ports are: with port 0 nobody else knows."""
    addresses = {
        "agents": facts.agent_address,
        "enrolment": facts.enroll_address,
        "operators": str(config.socket_path),
        "authority_pin": facts.authority_pin,
    }
    write_private(config.state / ADDRESSES_FILE, dumps(addresses) + b"\n")


async def _stop(parts: Parts, servers: tuple[grpc.aio.Server, ...]) -> None:
    """End the runs, then the streams of agents, then every other call, each within the drain timeout."""
    log.info("controller stopping")
    (parts.config.state / ADDRESSES_FILE).unlink(missing_ok=True)
    await parts.health.stopping()
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
