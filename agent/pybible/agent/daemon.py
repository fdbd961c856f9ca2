"""daemon: connect, serve, back off, repeat; SIGTERM drains."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

import grpc.aio

from pybible.agent import state, systemd
from pybible.agent.attempts import Attempts, Lease, Pool
from pybible.agent.become import WorkerIdentity, confined, identity_of
from pybible.agent.blobs import BlobCache
from pybible.agent.config import Config, default_slots
from pybible.agent.dial import Dialer
from pybible.agent.journal import Journal
from pybible.agent.metrics import MetricsFile
from pybible.agent.policy import AllowAll, HostPolicy, load_policy
from pybible.agent.renew import renew
from pybible.agent.reporter import Reporter
from pybible.agent.stream import Ended, Session, Stream
from pybible.agent.workers import ContentSource, Sink, WorkerPool
from pybible.wire import logs
from pybible.wire.backoff import Backoff
from pybible.wire.errors import ConfigError
from pybible.wire.logs import fields
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import Become

_STABLE_SECONDS = 60.0
_ACK_SECONDS = 3.0
_KILL_SECONDS = 5.0
_RENEWAL_LOOK = 6 * 3600.0
_RENEWAL_PAUSE = 60.0
# How long to wait at least when trying again soon can't help.
_REFUSED_PAUSES = {"SUPERSEDED": 10.0, "QUARANTINED": 60.0, "REVOKED": 60.0, "UNKNOWN_AGENT": 60.0, "PROTOCOL": 60.0}
_log = logging.getLogger(__name__)


class Exit(Enum):
    """Why the agent's process is to end."""

    STOPPED = "stopped"
    RESTART = "restart"


class PoolMaker(Protocol):
    """Makes the pool in which an agent's attempts run, for as long as a block lasts."""

    def __call__(
        self,
        sink: Sink,
        *,
        slots: int,
        contents: ContentSource,
        idle_seconds: float,
        may_start: Callable[[], bool],
        identify: Callable[[Become | None], WorkerIdentity],
    ) -> AbstractAsyncContextManager[Pool]:
        """Make it."""


@dataclass(slots=True, kw_only=True)
class Agent:
    """A running agent. Made by `start`."""

    folder: Path
    # Its id, and its name when it was enrolled.
    names: tuple[str, ...]
    config: Config
    dialer: Dialer
    session: Session
    blobs: BlobCache
    stopping: asyncio.Event
    backoff: Backoff
    # Set when a new stream is to take over: there is a new certificate, or another policy to tell of.
    handover: asyncio.Event
    # How often the controller was dialled.
    dials: int = 0
    # Whether nobody answered the last time: a probe goes first then.
    in_doubt: bool = False

    @staticmethod
    @asynccontextmanager
    async def start(folder: Path, config: Config, *, make_pool: PoolMaker = WorkerPool) -> AsyncIterator[Agent]:
        """Open the state folder and get ready to dial. ConfigError when the folder can't be used."""
        identity = state.load_identity(folder)
        logs.agent_id.set(identity.id)
        dialer = Dialer(identity, controller=config.controller, proxy=config.proxy)
        slots = config.slots or default_slots()
        lease = Lease()
        try:
            blobs = BlobCache(folder / "blobs", dialer=dialer, limit=config.blob_cache_bytes)
        except OSError as error:
            raise ConfigError(f"can't use {folder / 'blobs'}: {error.strerror}") from error
        policy = _policy(config, (identity.id, identity.name))
        attempts = Attempts(journal=Journal(folder), policy=policy, lease=lease, queue=config.queue)
        try:
            async with make_pool(
                attempts,
                slots=slots,
                contents=blobs,
                idle_seconds=config.worker_idle,
                may_start=lambda: lease.valid,
                identify=lambda become: confined(identity_of(become), attempts.policy.writable),
            ) as pool:
                attempts.pool = pool
                session = Session(
                    attempts=attempts,
                    blobs=blobs,
                    incarnation=str(uuid.uuid4()),
                    last_epoch=state.load_epoch(folder),
                    slots=slots,
                    on_ready=lambda name, epoch: _ready(folder, name, epoch),
                )
                backoff = Backoff(limit=max(1.0, config.reconnect_limit))
                yield Agent(
                    folder=folder,
                    names=(identity.id, identity.name),
                    config=config,
                    dialer=dialer,
                    session=session,
                    blobs=blobs,
                    stopping=asyncio.Event(),
                    backoff=backoff,
                    handover=asyncio.Event(),
                )
        finally:
            await blobs.close()
            attempts.close()

    def read_policy(self) -> None:
        """Read the host's policy again, and tell the controller. What is wrong with it leaves the old one in force."""
        try:
            policy = _policy(self.config, self.names)
        except ConfigError as error:
            _log.error("the host's policy was not read again", extra=fields(error=str(error)))
            return
        _log.info("read the host's policy", extra=fields(settings=len(policy.summary())))
        if policy != self.session.attempts.policy:
            self.session.attempts.policy = policy
            self.handover.set()

    async def run(self) -> Exit:
        """Serve until `stopping` is set, or until a new process is to try its luck."""
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(systemd.keep_alive()),
                group.create_task(self.blobs.close_when_idle()),
                group.create_task(self._renew_when_due()),
                group.create_task(Reporter(self.session.attempts, interval=self.config.facts_interval).run()),
                *([group.create_task(self._metrics_file().run())] if self.config.metrics_file else []),
            ]
            connecting = group.create_task(self._connect())
            stopped = group.create_task(self.stopping.wait())
            await asyncio.wait((connecting, stopped), return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                systemd.notify("STOPPING=1")
                await self._drain()
            for task in (*helpers, connecting, stopped):
                task.cancel()
        return Exit.STOPPED if self.stopping.is_set() else Exit.RESTART

    def _metrics_file(self) -> MetricsFile:
        return MetricsFile(
            Path(self.config.metrics_file),
            session=self.session,
            dialer=self.dialer,
            dials=lambda: self.dials,
            interval=max(0.1, self.config.metrics_interval),
        )

    async def _connect(self) -> None:
        """Hold a session, for ever. Returns when this process has not had one for too long."""
        last_ready = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                self.handover.clear()
                stream = Stream(self.session)
                served = group.create_task(self._serve(stream))
                handed_over = group.create_task(self.handover.wait())
                await asyncio.wait((served, handed_over), return_when=asyncio.FIRST_COMPLETED)
                handed_over.cancel()
                if not served.done():
                    # The old stream works until the controller has the new one.
                    continue
                ended = served.result()
                self.in_doubt = not stream.ready_at and not ended.deny
                now = time.monotonic()
                if stream.ready_at:
                    last_ready = now
                    if now - stream.ready_at >= _STABLE_SECONDS or ended.after is not None:
                        self.backoff.reset()
                elif self._is_hopeless(now - last_ready):
                    extra = fields(without_session=f"{now - last_ready:.0f}s")
                    _log.warning("the agent starts itself anew", extra=extra)
                    return
                await self._wait_to_dial(ended)

    async def _serve(self, stream: Stream) -> Ended:
        # A new channel for each try: a kept one leaks against a dead server, and remembers its address.
        self.dials += 1
        if self.in_doubt and (why := await self.dialer.unreachable()):
            return Ended(why=why)
        channel = self.dialer.channel()
        try:
            return await stream.serve(channel)
        finally:
            await channel.close()

    async def _wait_to_dial(self, ended: Ended) -> None:
        self.dialer.redirect(ended.target)
        pause = self._pause(ended)
        extra = fields(why=ended.why, controller=self.dialer.target, retry=f"{pause:.1f}s")
        _log.warning("not attached", extra=extra)
        if 0 < self.dialer.expires < time.time():
            _log.error("the agent's certificate has expired: it must be enrolled anew")
        systemd.notify(f"STATUS=not attached: {ended.why[:200]}")
        await asyncio.sleep(pause)

    async def _renew_when_due(self) -> None:
        """Renew the certificate in time, and whenever the controller asks for it."""
        backoff = Backoff(first=_RENEWAL_PAUSE, limit=3600)
        while True:
            await self._until_renewal()
            while True:
                self.session.renewal.clear()
                if await renew(self.folder, self.dialer, self._live_channel):
                    break
                await asyncio.sleep(self._renewal_pause(backoff.next()))
            backoff.reset()
            self.handover.set()

    def _live_channel(self) -> grpc.aio.Channel | None:
        return self.session.stream.channel if self.session.stream is not None else None

    async def _until_renewal(self) -> None:
        """Return when the certificate is due, or the controller asks for another."""
        while True:
            due = self.dialer.renew_at - time.time() if self.dialer.renew_at else _RENEWAL_LOOK
            try:
                # Looked at again now and then: clocks are set, and hosts are suspended.
                async with asyncio.timeout(min(max(0.0, due), _RENEWAL_LOOK)):
                    await self.session.renewal.wait()
            except TimeoutError:
                if due > _RENEWAL_LOOK or not self.dialer.renew_at:
                    continue
            return

    def _renewal_pause(self, spread: float) -> float:
        """Return how long to wait before the next try: at most a tenth of what the certificate has left."""
        left = self.dialer.expires - time.time()
        pause = _RENEWAL_PAUSE + spread
        return min(pause, max(1.0, left / 10)) if left > 0 else pause

    def _is_hopeless(self, since: float) -> bool:
        """Tell whether to start anew: not while a task runs, which would not survive it."""
        limit = self.config.restart_after
        pool = self.session.attempts.pool
        return 0 < limit <= since and pool.running == 0 and pool.waiting == 0

    def _pause(self, ended: Ended) -> float:
        if ended.deny in _REFUSED_PAUSES:
            least = max(_REFUSED_PAUSES[ended.deny], ended.after or 0.0)
            _log.error("the controller refuses this agent", extra=fields(code=ended.deny.lower(), why=ended.why))
            return least + self.backoff.next()
        if ended.deny == "OVERLOADED" and ended.after:
            # It is there, and says when there is room for this agent: to wait ever longer helps nobody.
            self.backoff.reset()
        if ended.after is not None:
            # Spread: the whole fleet was told the same.
            return ended.after + (self.backoff.next() if ended.after or ended.deny else 0.0)
        return self.backoff.next()

    async def _drain(self) -> None:
        """Let what runs come to its end, or bring it there, and hand the results over."""
        attempts = self.session.attempts
        pool = attempts.pool
        attempts.draining = self.session.stopping = True
        if self.session.stream is not None:
            self.session.stream.draining()
        _log.info("draining", extra=fields(running=pool.running, waiting=pool.waiting))
        try:
            async with asyncio.timeout(self.config.drain_timeout):
                await pool.idle()
        except TimeoutError:
            pool.cancel_all(Reason.CANCELLED, "the agent was stopped", grace=_KILL_SECONDS)
            await pool.idle()
        stream = self.session.stream
        if stream is None:
            return
        try:
            async with asyncio.timeout(_ACK_SECONDS):
                await attempts.settled()
                stream.goodbye("the agent was stopped")
                await stream.closed.wait()
        except TimeoutError:
            _log.info("results were not acknowledged; they are kept")


def _policy(config: Config, names: tuple[str, ...]) -> HostPolicy | AllowAll:
    return load_policy(Path(config.policy) if config.policy else None, names=names) or AllowAll()


def _ready(folder: Path, name: str, epoch: int) -> None:
    try:
        state.save_epoch(folder, epoch)
    except OSError as error:
        _log.warning("can't write the epoch", extra=fields(error=error.strerror))
    _log.info("attached", extra=fields(name=name, epoch=epoch))
    systemd.notify(f"STATUS=attached as {name}")


async def run_agent(folder: Path, config: Config) -> Exit:
    """Run an agent until SIGTERM or SIGINT; a second one ends what still runs at once."""
    loop = asyncio.get_running_loop()
    state.load_identity(folder)
    with state.locked(folder):
        async with Agent.start(folder, config) as agent:

            def stop() -> None:
                if agent.stopping.is_set():
                    agent.session.attempts.pool.cancel_all(Reason.CANCELLED, "the agent was stopped", grace=0)
                agent.stopping.set()

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop)
            loop.add_signal_handler(signal.SIGHUP, agent.read_policy)
            systemd.notify("READY=1")
            return await agent.run()
