"""monitor: /metrics, /healthz and /readyz of a controller, while its store is opened and its ports are shut as well.

Everything is read in the loop's thread, from the live parts. There is no registry but the one made here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from pybible.server.controller.config import Address
from pybible.server.controller.metrics.collector import ControllerCollector
from pybible.server.controller.metrics.http import Answer, serving
from pybible.server.controller.metrics.lag import LoopLag
from pybible.server.controller.metrics.sources import Sources
from pybible.server.controller.store.writer import WriterClosed

# What asking costs more than a moment is asked again after so many seconds at the earliest.
_READY_SECONDS = 1.0
_BLOBS_SECONDS = 60.0
_STORE_SECONDS = 2.0
_STARTING, _STOPPING = "the controller is starting", "the controller is stopping"


class Monitor:
    """Answers for one controller. Made by `monitoring`."""

    def __init__(self) -> None:
        self.address = Address("", 0)
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._lag = LoopLag()
        self._sources: Sources | None = None
        self._collector: ControllerCollector | None = None
        self._usage: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._blobs_due = 0.0
        # Why the controller is not ready, and until when that is known.
        self._reason = _STARTING
        self._reason_due = float("inf")
        self._asking = asyncio.Lock()

    def show(self, sources: Sources, *, usage: Callable[[], tuple[int, int]]) -> None:
        """The controller is there, its ports are bound. `usage` counts blobs and bytes; it blocks."""
        self._sources = sources
        self._usage = usage
        self._collector = ControllerCollector(sources, self._lag)
        self._registry.register(self._collector)
        self._reason_due = 0.0

    def drain(self) -> None:
        """The controller is about to end."""
        self._reason, self._reason_due = _STOPPING, float("inf")

    async def metrics(self) -> Answer:
        """Answer /metrics."""
        collector = self._collector
        if collector is not None and time.monotonic() >= self._blobs_due:
            self._blobs_due = time.monotonic() + _BLOBS_SECONDS
            collector.blobs = await asyncio.to_thread(self._usage)
        return Answer(generate_latest(self._registry), kind=CONTENT_TYPE_PLAIN_0_0_4)

    async def health(self) -> Answer:
        """Answer /healthz: that it answers is the news."""
        return Answer(b"ok\n")

    async def ready(self) -> Answer:
        """Answer /readyz."""
        async with self._asking:
            if time.monotonic() >= self._reason_due and self._sources is not None:
                reason = await _trouble(self._sources)
                # It may have begun to stop meanwhile.
                if self._reason_due != float("inf"):
                    self._reason, self._reason_due = reason, time.monotonic() + _READY_SECONDS
        if self._reason:
            return Answer(f"{self._reason}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE)
        return Answer(b"ready\n")

    def start(self, address: Address) -> None:
        """It is served at `address`."""
        self.address = address
        self._lag.start()

    def stop(self) -> None:
        """It is served no more."""
        self._lag.stop()


@asynccontextmanager
async def monitoring(address: Address) -> AsyncIterator[Monitor]:
    """Answer at `address` as long as the block lasts. ConfigError when that can't be had."""
    monitor = Monitor()
    answers = {"/metrics": monitor.metrics, "/healthz": monitor.health, "/readyz": monitor.ready}
    async with serving(address, answers) as bound:
        monitor.start(bound)
        try:
            yield monitor
        finally:
            monitor.stop()


async def _trouble(sources: Sources) -> str:
    """Return why the store can't be written to; empty when it can."""
    try:
        async with asyncio.timeout(_STORE_SECONDS):
            await sources.database.write(_touch)
    except TimeoutError:
        return f"the store did not take a write within {_STORE_SECONDS:g} s"
    except WriterClosed:
        return _STOPPING
    except SQLAlchemyError as error:
        return f"the store can't be written to: {getattr(error, 'orig', None) or error}".partition("\n")[0]
    return ""


def _touch(connection: Connection) -> None:
    """Write what is there already: a full disk says no to that as well."""
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
