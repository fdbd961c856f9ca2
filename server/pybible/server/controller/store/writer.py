"""writer: the one place where the store is written to. Many works, one commit.

Works are functions of a connection. They wait in a queue; a thread of its own takes all that wait, runs them, commits
once and resolves their futures. When a future resolves with a value, the work is durable.

A savepoint costs more than most works do, so a batch is tried without: when a work fails, what the batch did is undone
and it runs again with a savepoint for each. A work may therefore run twice: it changes nothing but the database.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from pybible.server.controller.counts import SHORT_SECONDS, SIZES, Histogram
from pybible.wire.errors import PybibleError
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_WORKS = 1000
QUEUE_WORKS = 20_000


class WriterClosed(PybibleError):
    """The store takes no more writes: the controller is stopping."""


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    value: T | None
    error: BaseException | None


def reason_of(error: Exception) -> str:
    """Return what the database says, in a line: `database or disk is full`."""
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


class _Pending(Generic[T]):
    """A work that waits, and whoever waits for it."""

    __slots__ = ("_future", "_outcome", "_work")

    def __init__(self, work: Callable[[Connection], T], future: asyncio.Future[T]) -> None:
        self._work = work
        self._future = future
        self._outcome: _Outcome[T] | None = None

    def run(self, connection: Connection) -> None:
        """Do the work, or raise what it raises. In the writer's thread."""
        self._outcome = _Outcome(self._work(connection), None)

    def run_apart(self, connection: Connection) -> None:
        """Do the work so that its failure undoes it alone."""
        nested = connection.begin_nested()
        try:
            self.run(connection)
        except Exception as error:  # whoever waits for this work gets it; the others of the batch go on
            self._outcome = _Outcome(None, error)
            # Raises when the database has undone the whole transaction, as SQLite does when the disk is full: none of
            # the others is durable then.
            nested.rollback()
        else:
            nested.commit()

    def fail(self, error: BaseException) -> None:
        """Say that nothing of it is durable."""
        self._outcome = _Outcome(None, error)

    def resolve(self) -> None:
        """Wake whoever waits. In the loop's thread."""
        outcome = self._outcome
        if outcome is None or self._future.done():
            return
        if outcome.error is not None:
            self._future.set_exception(outcome.error)
        else:
            self._future.set_result(outcome.value)  # type: ignore[arg-type]  # T may itself be optional


class Writer:
    """Runs works in the order in which they were submitted. Made and used inside a running loop."""

    def __init__(self, engine: Engine, *, queue_works: int = QUEUE_WORKS, batch_works: int = BATCH_WORKS) -> None:
        self._engine = engine.execution_options(writes=True)
        self._loop = asyncio.get_running_loop()
        self._queue_works = queue_works
        self._batch_works = batch_works
        self._waiting: deque[_Pending[object]] = deque()
        self._changed = threading.Condition()
        self._room = asyncio.Event()
        self._room.set()
        self._closing = False
        self.commits = 0
        self.batch_seconds = Histogram(SHORT_SECONDS)
        self.batch_works_seen = Histogram(SIZES)
        self.failures = 0
        # What the last batch failed of; empty when it did not.
        self.trouble = ""
        # What was logged of it, in the writer's thread.
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Queue `work` and return a future for its value. Never waits: what must not be lost is never refused.

        Whoever can wait awaits `room()` before. An exception of `work` is the future's, and undoes that work alone.
        `work` may run twice.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        pending = _Pending(work, future)
        with self._changed:
            if self._closing:
                raise WriterClosed("the controller is stopping")
            self._waiting.append(pending)  # type: ignore[arg-type]  # each pending resolves its own type
            if len(self._waiting) >= self._queue_works:
                self._room.clear()
            self._changed.notify()
        return future

    @property
    def waiting(self) -> int:
        """How many works wait."""
        return len(self._waiting)

    async def room(self) -> None:
        """Wait until the queue is shorter than its bound."""
        await self._room.wait()

    async def close(self) -> None:
        """Write what waits, then stop. Nothing can be submitted from now on."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        # The thread's last wake-ups are in the loop's queue before the one that ends this.
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while batch := self._next_batch():
            began = time.monotonic()
            trouble = self._write(batch)
            self._loop.call_soon_threadsafe(self._resolve, batch, time.monotonic() - began, trouble)

    def _next_batch(self) -> list[_Pending[object]]:
        """Return what waits, at least one; nothing only at the end."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._batch_works))]

    def _write(self, batch: list[_Pending[object]]) -> str:
        """Write a batch; return what it failed of, in a line."""
        first: Exception | None = None
        try:
            try:
                self._commit(batch, _Pending.run)
            except Exception as error:  # which of them it was shows when each runs apart
                first = error
                self._commit(batch, _Pending.run_apart)
        except Exception as error:  # the disk is full, the database is gone: nothing of the batch is durable
            error = first if isinstance(first, OperationalError) else error
            reason = reason_of(error)
            # Whoever tries again fails again: once is enough.
            if reason != self._told:
                told = log.error if isinstance(error, OperationalError) else log.exception
                told("store write failed", extra=fields(works=len(batch), error=reason))
            self._told = reason
            for pending in batch:
                pending.fail(error)
            return reason
        self._told = ""
        return ""

    def _commit(self, batch: list[_Pending[object]], run: Callable[[_Pending[object], Connection], None]) -> None:
        with self._engine.begin() as connection:
            for pending in batch:
                run(pending, connection)
        self.commits += 1

    def _resolve(self, batch: list[_Pending[object]], seconds: float, trouble: str) -> None:
        self.batch_seconds.observe(seconds)
        self.batch_works_seen.observe(len(batch))
        self.failures += bool(trouble)
        self.trouble = trouble
        if len(self._waiting) < self._queue_works:
            self._room.set()
        for pending in batch:
            pending.resolve()
