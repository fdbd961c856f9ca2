"""daemon: puts a controller together from its parts, and takes it apart again.

Used by pybible-controller and, for the embedded default, inside pybible-ctl.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.server.controller import sdnotify
from pybible.server.controller.config import Address, ControllerConfig
from pybible.server.controller.garbage import keep_pauses_short
from pybible.server.controller.local_users import LocalUsers, Peer
from pybible.server.controller.metrics.sources import Sources
from pybible.server.controller.parts import Parts, open_parts
from pybible.server.controller.pki.enrolment import TokenRequest
from pybible.server.controller.services.fleet_part import ControllerFacts
from pybible.server.controller.serving import serve
from pybible.server.controller.state import locked_state
from pybible.wire.errors import ConfigError
from pybible.wire.identity import JoinToken, OperatorRole
from pybible.wire.logs import fields

if TYPE_CHECKING:
    from pybible.server.controller.metrics.monitor import Monitor

log = logging.getLogger(__name__)


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
                parts = await open_parts(config, stack)
                controller = Controller(parts, facts=await serve(parts, stack))
                if monitor is not None:
                    _show(monitor, controller, stack)
            except OSError as error:
                raise ConfigError(f"{error.filename or config.state}: {error.strerror or error}") from error
            log.info(
                "controller ready",
                extra=fields(
                    agents=controller.agent_address,
                    enrolment=controller.enroll_address,
                    operators=controller.operator_address,
                    socket=controller.socket_path,
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
    def operator_address(self) -> str:
        """HOST:PORT for operators with a certificate, as they reach it. Empty: there is no such port."""
        return self.facts.operator_address

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
        """Return when `stop` is set. Meanwhile systemd gets its signs of life. For a process that does nothing else."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(sdnotify.keep_alive()),
                group.create_task(keep_pauses_short(lambda: not self._parts.runs.opened)),
            ]
            await stop.wait()
            for task in beside:
                task.cancel()


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
        retention=parts.retention,
    )
    monitor.show(sources, usage=parts.blobs.usage)
    controller.monitor = monitor
    stack.callback(monitor.drain)
    log.info("metrics are served", extra=fields(address=monitor.address))
