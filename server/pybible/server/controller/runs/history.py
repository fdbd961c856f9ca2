"""history: what runs leave behind, collected and written in batches, and who waits until it is durable.

An attempt that begins and ends between two writes is one row. Nothing a host waits for waits for a write: only the Ack
to its agent does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pybible.server.controller.counts import RunCounts
from pybible.server.controller.sessions.attempts import Attempt, AttemptState
from pybible.server.controller.sessions.facts import PushedFacts
from pybible.server.controller.store import agents, audit, facts
from pybible.server.controller.store import runs as store
from pybible.server.controller.store.database import Database
from pybible.server.controller.store.facts import StoredFacts
from pybible.server.controller.store.runs import RunRecord, StoredBatch
from pybible.server.controller.store.writer import reason_of
from pybible.server.results.audit import NOBODY, Actor, AuditEntry
from pybible.server.results.recap import HostRecap
from pybible.v1 import run_pb2
from pybible.wire import faults
from pybible.wire.errors import PybibleError
from pybible.wire.logs import fields
from pybible.wire.outcomes import Reason
from pybible.wire.values import loads

log = logging.getLogger(__name__)

# How long news is collected before it is written, in seconds.
WRITE_INTERVAL = 0.2
_RETRY_SECONDS = 1.0
# How much may wait while the store is slow or takes no writes: a minute of a busy controller. An attempt, with the task
# that it was sent, takes about so much, and a line of the audit log.
BACKLOG_BYTES = 128 * 1024 * 1024
_ATTEMPT_BYTES, _LINE_BYTES = 2048, 512
# How often it is said that the store still takes no writes.
_REMIND_SECONDS = 60.0
_TOLD_AT_ONCE = 32
_REASONS = frozenset(map(str, Reason))
_FAILED_MARKS = (b'"failed":true', b'"failed": true')


class StoreUnwritable(PybibleError):
    """The store takes no writes now: nothing can be begun that has to be in it."""


@dataclass(slots=True)
class _Pending:
    """What one write takes."""

    runs: dict[str, RunRecord] = field(default_factory=dict)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    events: list[StoredBatch] = field(default_factory=list)
    recaps: dict[str, Mapping[str, HostRecap]] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    audit: list[AuditEntry] = field(default_factory=list)
    # What went out since the last write: what is told of it once, and the hosts with their attempts.
    work: dict[Work, list[tuple[str, str]]] = field(default_factory=dict)
    facts: dict[str, StoredFacts] = field(default_factory=dict)
    incarnations: dict[str, tuple[str, float]] = field(default_factory=dict)
    settled: list[tuple[Callable[[str], None], str]] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)
    # What is to be said of it afterwards.
    after: list[Callable[[], None]] = field(default_factory=list)
    # Who is told of which runs' events, and how many there are by then.
    told: dict[str, tuple[Callable[[int], None], int]] = field(default_factory=dict)
    # About how much memory all of it takes.
    bytes: int = 0

    def write(self, counts: RunCounts) -> Callable[[Connection], None]:
        """Return the write, and count what ended. It shares nothing with the loop: it runs in the writer's thread."""
        runs, events, late, recaps = list(self.runs.values()), self.events, self.late, self.recaps
        entries = [*self.audit, *(work.entry(hosts) for work, hosts in self.work.items())]
        known, incarnations = list(self.facts.values()), self.incarnations
        rows = [_row(attempt) for attempt in self.attempts.values()]
        _count(counts, self.attempts.values(), rows)
        counts.late += len(late)

        def write(connection: Connection) -> None:
            store.save_runs(connection, runs)
            store.save_attempts(connection, rows)
            store.add_events(connection, events)
            for run_id, recap in recaps.items():
                store.save_recap(connection, run_id, recap)
            store.mark_late(connection, late)
            audit.add(connection, entries)
            facts.save(connection, known)
            agents.save_incarnations(connection, incarnations)

        return write

    async def done(self) -> None:
        """Tell everyone who waited; agents a few in each turn of the loop, for each is sent a message."""
        for tell, events in self.told.values():
            tell(events)
        self._say()
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        for number, (durable, attempt_id) in enumerate(self.settled, 1):
            durable(attempt_id)
            if not number % _TOLD_AT_ONCE:
                await asyncio.sleep(0)

    def refuse(self, error: StoreUnwritable) -> None:
        """Tell those who wait that it is not durable, and may not be for long."""
        for future in self.waiting:
            if not future.done():
                future.set_exception(error)
        self.waiting.clear()
        self._say()

    def _say(self) -> None:
        for say in self.after:
            say()
        self.after.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What the audit log has of a task that goes out, the same for all its hosts at one moment."""

    actor: Actor
    run_id: str
    task_id: str
    module: str
    become: str
    check: bool
    refusal: str

    def entry(self, hosts: list[tuple[str, str]]) -> AuditEntry:
        """Return the entry about these hosts and attempts."""
        return AuditEntry(
            moment=time.time(),
            actor=self.actor,
            action="dispatch",
            target=self.module[:300],
            allowed=not self.refusal,
            reason=self.refusal,
            run_id=self.run_id,
            details={
                "task": self.task_id,
                "become": self.become,
                "check": self.check,
                "attempts": [list(each) for each in hosts],
            },
        )


class History:
    """Collects; `writing` writes, for as long as the controller runs.

    While the store takes no writes, what is collected waits, and so do agents for the Ack. Once more than `backlog`
    bytes wait, runs send out nothing more; when that is because nothing can be written, `overflowed` is told why.
    """

    def __init__(self, database: Database, *, interval: float = WRITE_INTERVAL, backlog: int = BACKLOG_BYTES) -> None:
        self.counts = RunCounts()
        # Why the last write failed; empty when it did not.
        self.trouble = ""
        self.overflowed: Callable[[str], None] = lambda _why: None
        # There is room again for what runs would send out.
        self.drained: Callable[[], None] = lambda: None
        self._backlog = backlog
        # What the write under way takes.
        self._writing = _Pending()
        self._lost_lines = 0
        self._reminded = 0.0
        self._database = database
        self._interval = interval
        self._pending = _Pending()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._closing = False

    @property
    def waiting_bytes(self) -> int:
        """About how much waits to be written."""
        return self._writing.bytes + self._pending.bytes

    def has_not_written(self, run_id: str) -> bool:
        """Whether the store does not know yet how a run is, because it takes no writes."""
        return bool(self.trouble) and (run_id in self._pending.runs or run_id in self._writing.runs)

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no more attempts should go out."""
        return self.waiting_bytes > self._backlog

    def run(self, record: RunRecord) -> None:
        """Store a run as it is now."""
        self._pending.runs[record.run_id] = record
        self._wake.set()

    def attempt(self, attempt: Attempt) -> None:
        """Store an attempt as it is at the next write."""
        if attempt.id not in self._pending.attempts:
            self._pending.bytes += _ATTEMPT_BYTES
        self._pending.attempts[attempt.id] = attempt
        self._wake.set()

    def events(self, batch: StoredBatch, *, stored: Callable[[int], None] | None = None) -> None:
        """Store events, then call `stored` with the number of the last one."""
        self._pending.events.append(batch)
        self._pending.bytes += len(batch.batch) + _LINE_BYTES
        if stored is not None:
            self._pending.told[batch.run_id] = (stored, batch.first_seq + batch.count - 1)
        self._wake.set()

    def recap(self, run_id: str, counts: Mapping[str, HostRecap]) -> None:
        """Store the recap of a run as it is now."""
        self._pending.recaps[run_id] = {host: replace(recap) for host, recap in counts.items()}
        self._wake.set()

    def note(self, entry: AuditEntry) -> None:
        """Add to the audit log. What anybody can fill it with is lost while it can't be written and much waits."""
        if self.trouble and self.is_full:
            self._lost_lines += 1
            return
        self._pending.audit.append(entry)
        self._pending.bytes += _LINE_BYTES
        self._wake.set()

    def dispatched(self, work: Work, *, host: str, attempt_id: str) -> None:
        """Note that work was sent to a host, or was not allowed to be: one record of the audit log for many hosts."""
        self._pending.work.setdefault(work, []).append((host, attempt_id))
        self._wake.set()

    def keep_incarnation(self, agent_id: str, incarnation: str) -> None:
        """Store which process of an agent is attached: with what it ended, or after that."""
        self._pending.incarnations[agent_id] = (incarnation, time.time())
        self._wake.set()

    def keep_facts(self, agent_id: str, pushed: PushedFacts, *, age: float) -> None:
        """Store what an agent said of its host, `age` seconds ago."""
        self._pending.facts[agent_id] = StoredFacts(
            agent_id=agent_id,
            digest=pushed.digest.hex(),
            facts=pushed.facts,
            moving=pushed.moving,
            gathered=time.time() - age,
        )
        self._wake.set()

    def settle(self, attempt_id: str, *, late: bool, durable: Callable[[str], None]) -> None:
        """Call `durable` once all that is known of an attempt is stored; `late`: that its result came too late."""
        if late:
            self._pending.late.append(attempt_id)
        self._pending.settled.append((durable, attempt_id))
        self._wake.set()

    def then(self, say: Callable[[], None]) -> None:
        """Call `say` once everything so far is durable; while the store takes no writes at once: that may be never."""
        if self.trouble:
            say()
            return
        self._pending.after.append(say)
        self._wake.set()
        self._urgent.set()

    async def flush(self) -> None:
        """Wait until everything so far is durable. StoreUnwritable when that may be never."""
        if self.trouble:
            raise StoreUnwritable(self.trouble)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.waiting.append(future)
        self._wake.set()
        self._urgent.set()
        await future

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write as long as the block lasts, and at its end what is left."""
        failure: Exception | asyncio.CancelledError | None = None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._serve(), name="history")
            try:
                yield
            except (Exception, asyncio.CancelledError) as error:
                # Out of the group as it is: the group would wrap it, or cancel the last write, which is short.
                failure = error
            finally:
                self._closing = True
                self._wake.set()
                self._urgent.set()
        if failure is not None:
            raise failure

    async def _serve(self) -> None:
        while not self._closing or self._pending != _Pending():
            await self._wake.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._urgent.wait()
            if not self._closing:
                self._wake.clear()
                self._urgent.clear()
            pending, self._pending = self._pending, _Pending()
            self._writing = pending
            await self._write(pending)
            was_full, self._writing = self.is_full, _Pending()
            if was_full and not self.is_full:
                self.drained()

    async def _write(self, pending: _Pending) -> None:
        write = pending.write(self.counts)
        faults.at("before_store")
        while True:
            try:
                await self._database.write(write)
            except SQLAlchemyError as error:
                # Nothing is acknowledged until it is written: agents keep their results.
                self._failed(error, pending)
                if self._closing:
                    return
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                faults.at("after_store")
                self._succeeded()
                await pending.done()
                return

    def _failed(self, error: SQLAlchemyError, pending: _Pending) -> None:
        self.trouble = f"the store can't be written to: {reason_of(error)}"
        pending.refuse(StoreUnwritable(self.trouble))
        self._pending.refuse(StoreUnwritable(self.trouble))
        if self._closing:
            lost = {"runs": len(pending.runs), "attempts": len(pending.attempts), "events": len(pending.events)}
            log.error("the controller ends, and some of the history is lost", extra=fields(error=self.trouble, **lost))
        elif time.monotonic() >= self._reminded:
            self._reminded = time.monotonic() + _REMIND_SECONDS
            log.error("the history waits", extra=fields(error=self.trouble, bytes=self.waiting_bytes))
        if self.is_full:
            self.overflowed(self.trouble)

    def _succeeded(self) -> None:
        if not self.trouble:
            return
        log.warning("the store takes writes again", extra=fields(was=self.trouble))
        self.trouble, self._reminded = "", 0.0
        if self._lost_lines:
            lost, self._lost_lines = self._lost_lines, 0
            details: dict[str, object] = {"records": lost}
            self.note(AuditEntry(moment=time.time(), actor=NOBODY, action="audit.lost", details=details))


def _row(attempt: Attempt) -> dict[str, object]:
    verdict = attempt.verdict
    return {
        "attempt_id": attempt.id,
        "run_id": attempt.run_id,
        "position": attempt.position,
        "task_id": attempt.task_id,
        "host": attempt.host,
        "agent": attempt.agent,
        "module": attempt.module,
        "state": attempt.state.value,
        "reason": verdict.reason if verdict is not None else "",
        "failed": attempt.state is AttemptState.DONE and _has_failed(attempt),
        "verdict": verdict is not None and verdict.given,
        "late": False,
        "dispatched": attempt.granted_at,
        "ended": attempt.ended_at,
    }


def _count(counts: RunCounts, attempts: Iterable[Attempt], rows: Iterable[Mapping[str, object]]) -> None:
    """Count those that have ended: many at once, and not while their hosts wait."""
    seen, wait, dispatch, take = counts.attempts, counts.waits.observe, counts.dispatches.observe, counts.times.observe
    for attempt, row in zip(attempts, rows, strict=True):
        verdict, granted, ended = attempt.verdict, attempt.granted_at, attempt.ended_at
        if verdict is None or ended is None:
            continue
        reason = verdict.reason
        # The word may be the agent's own: only ours become names of what is counted.
        if reason and reason not in _REASONS:
            reason = "other"
        seen["unreachable" if verdict.unreachable else "failed" if row["failed"] else "ok", reason] += 1
        if granted is None:
            continue
        wait(granted - attempt.submitted_at)
        take(ended - granted)
        if attempt.heard_at is not None:
            dispatch(attempt.heard_at - granted)
        elif attempt.agent and not verdict.given and type(verdict.content) is not run_pb2.PushedFacts:
            dispatch(ended - granted)


def _has_failed(attempt: Attempt) -> bool:
    """Say whether the attempt itself failed. What the play makes of that (failed_when, ...) is in the events."""
    verdict = attempt.verdict
    if verdict is None or verdict.reason:
        return True
    content = verdict.content
    if not isinstance(content, bytes) or not any(mark in content for mark in _FAILED_MARKS):
        return False
    try:
        result = loads(content)
    except ValueError:
        return True
    return isinstance(result, dict) and result.get("failed") is True
