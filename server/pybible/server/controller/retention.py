"""retention: what a controller removes in the course of time, so that one that runs for years does not fill its disk.

Runs that are over go with their attempts, events and recaps, in small pieces between other writes. The audit log stays:
it is a chain.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from pybible.server.controller.beside import beside
from pybible.server.controller.blobs.content import BlobStore
from pybible.server.controller.store import certificates, old_runs, tokens
from pybible.server.controller.store.database import Database
from pybible.server.controller.store.writer import WriterClosed
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

# Expired tokens and certificates are kept so long for listings.
_EXPIRED_KEPT = 30 * 86400.0
# How often to look, at the least and at the most.
_SOONEST, _LATEST = 5.0, 3600.0
# A piece takes some milliseconds of the writer's time; after it the writer is free for ten times as long.
_ROWS = 500
_PAUSE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How long things are kept, in seconds. `runs`: after their end; 0: for ever. `blobs`: after their last use."""

    runs: float
    blobs: float


class Retention:
    """Removes what is too old."""

    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        kept: Kept,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._kept = kept
        self._now = now
        # Told of each run that goes, before it does.
        self.forget: Callable[[str], None] = lambda _run_id: None
        # How many runs were removed.
        self.removed = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look now and again while the block runs."""
        async with beside(self._run(), name="retention"):
            yield

    async def expired(self) -> None:
        """Remove tokens, certificates and contents that nobody will ask for again."""
        before = self._now() - _EXPIRED_KEPT
        await self._database.write(lambda connection: tokens.forget_expired(connection, before))
        await self._database.write(lambda connection: certificates.forget_expired(connection, before))
        removed = await asyncio.to_thread(self._blobs.collect, unused_for=self._kept.blobs)
        if removed:
            log.info("old blobs removed", extra=fields(blobs=removed))

    async def runs(self) -> int:
        """Remove the runs that are too old, and return how many."""
        if not self._kept.runs:
            return 0
        before, removed = self._now() - self._kept.runs, 0
        while run_id := await self._database.read(lambda connection: old_runs.oldest(connection, before)):
            self.forget(run_id)
            await self._remove(run_id)
            removed += 1
            self.removed += 1
        if removed:
            log.info("old runs removed", extra=fields(runs=removed))
        return removed

    async def _remove(self, run_id: str) -> None:
        left = True
        while left:
            await self._database.writer.room()
            began = time.monotonic()
            left = await self._database.write(lambda connection: old_runs.remove_some(connection, run_id, rows=_ROWS))
            await asyncio.sleep(_PAUSE * (time.monotonic() - began))

    async def _run(self) -> None:
        interval = min(_LATEST, max(_SOONEST, self._kept.runs / 10 or _LATEST))
        # What expired was removed at the start.
        await asyncio.sleep(_SOONEST)
        while True:
            try:
                await self.runs()
                await asyncio.sleep(interval)
                await self.expired()
            except (SQLAlchemyError, OSError) as error:
                reason = getattr(error, "orig", None) or error
                log.warning("what is too old was not removed", extra=fields(error=str(reason)))
                await asyncio.sleep(interval)
            except WriterClosed:
                return
