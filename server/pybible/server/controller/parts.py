"""parts: what the ports of a controller stand on: its store, its authority, its sessions and its runs."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from pybible.server.controller.blobs.content import BlobStore
from pybible.server.controller.blobs.traffic import Traffic
from pybible.server.controller.config import ControllerConfig
from pybible.server.controller.dispatch.router import Router
from pybible.server.controller.expirations import Expirations
from pybible.server.controller.pki.allowed import AllowedCertificates
from pybible.server.controller.pki.authority import Authority, open_authority
from pybible.server.controller.pki.enrolment import Enrolment, Lifetimes
from pybible.server.controller.pki.rotation import Rotation
from pybible.server.controller.pki.waiting import WaitingRoom
from pybible.server.controller.retention import Kept, Retention
from pybible.server.controller.runs.history import History
from pybible.server.controller.runs.registry import RunRegistry
from pybible.server.controller.runs.run import RunSettings
from pybible.server.controller.services.access import Access, Caller
from pybible.server.controller.sessions.registry import SessionRegistry
from pybible.server.controller.sessions.settings import SessionSettings
from pybible.server.controller.store import certificates
from pybible.server.controller.store.database import Database, open_database
from pybible.server.controller.store.engine import sqlite_url
from pybible.server.controller.tickets import Tickets
from pybible.wire.identity import Identity, Role

# Who acts where nobody asked.
_ITSELF = Caller(identity=Identity(Role.CONTROLLER, "main"), address="")


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
    expirations: Expirations
    history: History
    blobs: BlobStore
    traffic: Traffic
    sessions: SessionRegistry
    runs: RunRegistry
    retention: Retention


async def open_parts(config: ControllerConfig, stack: AsyncExitStack) -> Parts:
    """Open what a controller stands on."""
    url = config.database or sqlite_url(config.state / "controller.db")
    database = await stack.enter_async_context(open_database(url))
    issuing_lifetime = timedelta(seconds=config.issuing_authority_ttl)
    authority = await asyncio.to_thread(open_authority, config.state / "pki", issuing_lifetime=issuing_lifetime)
    blobs = BlobStore(config.state / "blobs", limit=config.blob_limit)
    retention = Retention(database=database, blobs=blobs, kept=_kept(config))
    await retention.expired()
    allowed = AllowedCertificates(await database.read(lambda connection: certificates.live(connection, time.time())))
    enrolment = Enrolment(
        database=database,
        authority=authority,
        allowed=allowed,
        lifetimes=_lifetimes(config),
        operators=bool(config.operators_listen),
    )
    history = History(database)
    tickets = Tickets()
    access = Access(allowed, tickets=tickets, rules=config.rules, note=history.note)
    await stack.enter_async_context(history.writing())
    expirations = Expirations()
    stack.callback(expirations.close)
    settings = _session_settings(config)
    sessions = SessionRegistry(database=database, ledger=history, settings=settings, expirations=expirations)
    stack.callback(sessions.close)
    enrolment.shut_out = sessions.remove
    rotation = Rotation(
        authority=authority,
        database=database,
        allowed=allowed,
        sessions=sessions,
        lifetime=issuing_lifetime,
        by_itself=partial(_note_rotation, access),
    )
    await stack.enter_async_context(rotation.running())
    runs = await _runs(config, database, history=history, sessions=sessions, blobs=blobs)
    retention.forget = runs.forget
    await stack.enter_async_context(retention.running())
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
        expirations=expirations,
        history=history,
        blobs=blobs,
        traffic=Traffic(),
        sessions=sessions,
        runs=runs,
        retention=retention,
    )


async def _runs(
    config: ControllerConfig, database: Database, *, history: History, sessions: SessionRegistry, blobs: BlobStore
) -> RunRegistry:
    """Return the runs, with those of an earlier controller."""
    runs = RunRegistry(
        database=database,
        history=history,
        router=Router(sessions),
        settings=_run_settings(config),
        discard=lambda sha256, unused_since: blobs.remove(sha256, unused_since=unused_since),
    )
    await runs.recover()
    return runs


def _note_rotation(access: Access, serial: int) -> None:
    access.note(_ITSELF, "authority.rotate", f"{serial:x}")


def _kept(config: ControllerConfig) -> Kept:
    return Kept(runs=config.runs_kept_for, blobs=config.blob_unused_for)


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
        # Whoever is as far has shown a certificate, and may have ten thousand others beside it.
        hello_timeout=3 * config.handshake_timeout,
    )


def _run_settings(config: ControllerConfig) -> RunSettings:
    return RunSettings(
        forks=config.forks,
        max_forks=config.max_forks,
        disconnect_grace=config.disconnect_grace,
        recovery_window=config.recovery_window,
    )
