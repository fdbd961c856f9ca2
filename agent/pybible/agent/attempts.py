"""attempts: every attempt on this agent, whatever session brought it: accepted once, run once, told until heard.

It outlives sessions and knows no gRPC: a session lends it an `Outlet` while it is READY.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pybible.agent.failures import failure
from pybible.agent.journal import EntryState, Journal, StoredResult
from pybible.agent.policy import Policy
from pybible.agent.workers import TIMEOUT_GRACE, Finished
from pybible.wire import faults
from pybible.wire.logs import attempt_fields, fields
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import Signature, TaskSpec, changes_host

_CANCEL_GRACE = 5.0
_REASONS = frozenset(("", *map(str, Reason)))
_log = logging.getLogger(__name__)


class Refusal(Enum):
    """Why an attempt is not taken. Named as the protocol's reasons."""

    STALE_EPOCH = "STALE_EPOCH"
    POLICY_DENIED = "POLICY_DENIED"
    DRAINING = "DRAINING"
    BUSY = "BUSY"
    INVALID = "INVALID"
    LEASE_EXPIRED = "LEASE_EXPIRED"


class Decision(Enum):
    """What the controller made of a journaled attempt."""

    ADOPT = "adopt"
    DROP = "drop"
    CANCEL = "cancel"


class Outlet(Protocol):
    """The session of the moment. None of these waits or raises."""

    def accepted(self, attempt_id: str) -> None:
        """It is in the journal."""

    def rejected(self, attempt_id: str, refusal: Refusal, message: str) -> None:
        """It will not be run."""

    def started(self, attempt_id: str) -> None:
        """A worker has begun."""

    def output(self, attempt_id: str, stream: str, offset: int, data: bytes, dropped: int) -> None:
        """The task printed something."""

    def result(self, attempt_id: str, result: StoredResult) -> None:
        """It is over."""

    def facts(self, facts: Report, *, known: bool) -> None:
        """The host's facts were gathered. `known`: this session had the same before."""


class Pool(Protocol):
    """Where attempts run. It tells its sink of each: started, output, and finished exactly once."""

    slots: int

    @property
    def running(self) -> int:
        """How many run now."""

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""

    def submit(self, attempt_id: str, spec: TaskSpec) -> None:
        """Run it when a slot is free."""

    def cancel(self, attempt_id: str, *, grace: float, reason: Reason = ..., msg: str = ...) -> bool:
        """End an attempt. False when it is not here (any more)."""

    def cancel_all(self, reason: Reason, msg: str, *, grace: float) -> None:
        """End every attempt."""

    def resume(self) -> None:
        """Begin what waits, as far as that may be."""

    async def idle(self) -> None:
        """Wait until nothing runs and nothing waits."""


def boot_clock() -> float:
    """Return seconds on the monotonic clock that goes on while the host is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The host's facts as FactsChanged carries them. `at`: when they were gathered, on the boot clock."""

    digest: bytes
    facts: bytes
    moving: bytes
    user: str
    at: float


class Lease:
    """Until when new work may be started, on a monotonic clock."""

    def __init__(self, clock: Callable[[], float] = boot_clock) -> None:
        self._clock = clock
        self._until = 0.0

    @property
    def valid(self) -> bool:
        """Whether it still holds."""
        return self._clock() < self._until

    def renew(self, seconds: float) -> None:
        """Let it hold for so long from now."""
        self._until = self._clock() + seconds


class Attempts:
    """The agent's side of every attempt. `pool` is set once, before anything comes (they need one another)."""

    pool: Pool

    def __init__(self, *, journal: Journal, policy: Policy, lease: Lease, queue: int) -> None:
        self.journal = journal
        self.policy = policy
        self.lease = lease
        self.draining = False
        self._queue = queue
        self._outlet: Outlet | None = None
        self._lease_timer: asyncio.TimerHandle | None = None
        self._all_heard = asyncio.Event()
        self._offsets: dict[str, int] = {}
        self._ends_with_lease: set[str] = set()
        self._secret: set[str] = set()
        # How many tasks came that may have changed what the host's facts are; set whenever one is over.
        self.changes = 0
        self.changed = asyncio.Event()
        self._changing: set[str] = set()
        # For whoever watches: what was not taken, and what has ended, by the reason.
        self.refused: Counter[Refusal] = Counter()
        self.ended: Counter[str] = Counter()
        self._limits: dict[str, asyncio.TimerHandle] = {}

    def connect(self, outlet: Outlet) -> None:
        """A session is READY."""
        self._outlet = outlet
        self.changed.set()
        self.pool.resume()

    def disconnect(self, outlet: Outlet) -> None:
        """That session is over; what runs goes on."""
        if self._outlet is outlet:
            self._outlet = None

    @property
    def is_changing(self) -> bool:
        """Whether a task is here that may change what the host's facts are."""
        return bool(self._changing)

    @property
    def outlet(self) -> Outlet | None:
        """The session that is READY."""
        return self._outlet

    def offset(self, attempt_id: str) -> int:
        """Return how many bytes of output an attempt has had."""
        return self._offsets.get(attempt_id, 0)

    def dispatch(
        self, attempt_id: str, spec: TaskSpec, *, stale: bool, signature: Signature | None = None, task_id: str = ""
    ) -> None:
        """Take an attempt, once. What becomes of it goes to the outlet. `task_id`: of its run, for the log."""
        entry = self.journal.find(attempt_id)
        if entry is not None:
            self._repeat(attempt_id, entry.state, entry.result)
            return
        refusal = self._refusal(attempt_id, spec, signature, stale=stale)
        if refusal is None:
            faults.at("before_journal")
            try:
                self.journal.accept(attempt_id, until=signature.expires if signature is not None else 0.0)
            except OSError as error:
                refusal = (Refusal.BUSY, f"the agent can't write its journal: {error.strerror}")
        if refusal is not None:
            self.refused[refusal[0]] += 1
            names = attempt_fields(attempt_id, task_id=task_id, module=spec.module, reason=refusal[0].value.lower())
            _log.warning("task refused", extra=names)
            if self._outlet is not None:
                self._outlet.rejected(attempt_id, *refusal)
            return
        faults.at("after_journal")
        self._offsets[attempt_id] = 0
        if spec.terminate:
            self._ends_with_lease.add(attempt_id)
        if spec.no_log:
            self._secret.add(attempt_id)
        if changes_host(spec.module, check=spec.check):
            self.changes += 1
            self._changing.add(attempt_id)
        if self._outlet is not None:
            self._outlet.accepted(attempt_id)
        faults.at("after_accept")
        self.pool.submit(attempt_id, spec)

    def cancel(self, attempt_id: str, *, grace: float) -> None:
        """End an attempt. Nothing happens if it is over: its result is on its way."""
        self.pool.cancel(attempt_id, grace=grace)

    def acknowledge(self, attempt_ids: list[str]) -> None:
        """The controller has these results."""
        faults.at("before_acknowledge")
        try:
            self.journal.acknowledge(attempt_ids)
            if not self.journal.unacknowledged:
                self._all_heard.set()
            faults.at("after_acknowledge")
        except OSError as error:
            _log.error("can't write the journal", extra=fields(error=error.strerror))

    def decide(self, decisions: Mapping[str, Decision]) -> None:
        """Carry out what the Welcome says about the journal. Call it after `connect`."""
        dropped = []
        for attempt_id, decision in decisions.items():
            entry = self.journal.find(attempt_id)
            if entry is None:
                continue
            running = entry.state is EntryState.RUNNING
            if running and decision is not Decision.ADOPT:
                self.pool.cancel(attempt_id, grace=_CANCEL_GRACE)
            elif decision is Decision.DROP:
                dropped.append(attempt_id)
            elif entry.result is not None and self._outlet is not None:
                self._outlet.result(attempt_id, entry.result)
        if dropped:
            self.acknowledge(dropped)

    def renew(self, seconds: float) -> None:
        """The controller answered: for so long, new work may be started."""
        self.lease.renew(seconds)
        if self._lease_timer is not None:
            self._lease_timer.cancel()
        self._lease_timer = asyncio.get_running_loop().call_later(seconds, self._expire)
        self.pool.resume()

    async def settled(self) -> None:
        """Wait until the controller has acknowledged every result."""
        while self.journal.unacknowledged:
            self._all_heard.clear()
            await self._all_heard.wait()

    def close(self) -> None:
        """Let go of the timer and of the journal."""
        if self._lease_timer is not None:
            self._lease_timer.cancel()
        self.journal.close()

    def _expire(self) -> None:
        """The lease is over: end the tasks that asked for it. The others are finished."""
        for attempt_id in list(self._ends_with_lease):
            msg = "the agent lost its controller, and the task asks to be ended then"
            self.pool.cancel(attempt_id, grace=_CANCEL_GRACE, msg=msg)

    def started(self, attempt_id: str) -> None:
        """Pass it on, and see to it that it ends when the host's policy says so (Sink)."""
        limit = self.policy.max_task_time
        if limit is not None:
            self._limits[attempt_id] = asyncio.get_running_loop().call_later(
                limit.seconds, self._end_by_policy, attempt_id, limit.message
            )
        if self._outlet is not None:
            self._outlet.started(attempt_id)

    def _end_by_policy(self, attempt_id: str, msg: str) -> None:
        self.pool.cancel(attempt_id, grace=TIMEOUT_GRACE, reason=Reason.POLICY_DENIED, msg=msg)

    def output(self, attempt_id: str, stream: str, offset: int, data: bytes, dropped: int) -> None:
        """Pass it on; without a session it is lost, and only counted (Sink)."""
        self._offsets[attempt_id] = self._offsets.get(attempt_id, 0) + len(data)
        if self._outlet is not None:
            self._outlet.output(attempt_id, stream, offset, data, dropped)

    def finished(self, attempt_id: str, result: Finished) -> None:
        """Keep a result until it is acknowledged (Sink)."""
        # The word may come from a worker: only ours become names of what is counted.
        self.ended[result.reason if result.reason in _REASONS else "other"] += 1
        self._offsets.pop(attempt_id, None)
        self._ends_with_lease.discard(attempt_id)
        if attempt_id in self._changing:
            self._changing.remove(attempt_id)
            self.changed.set()
        secret = attempt_id in self._secret
        self._secret.discard(attempt_id)
        if timer := self._limits.pop(attempt_id, None):
            timer.cancel()
        faults.at("before_result")
        try:
            stored = self.journal.finish(
                attempt_id, result.content, reason=result.reason, elapsed=result.elapsed, secret=secret
            )
        except OSError as error:
            _log.error("can't write the journal", extra=attempt_fields(attempt_id, error=error.strerror))
            stored = StoredResult(content=result.content, reason=result.reason, elapsed=result.elapsed)
        faults.at("after_result")
        if self._outlet is not None:
            self._outlet.result(attempt_id, stored)

    def _refusal(
        self, attempt_id: str, spec: TaskSpec, signature: Signature | None, *, stale: bool
    ) -> tuple[Refusal, str] | None:
        if stale:
            return Refusal.STALE_EPOCH, "the dispatch belongs to an earlier session"
        if self.draining:
            return Refusal.DRAINING, "the agent is draining"
        if not self.lease.valid:
            return Refusal.LEASE_EXPIRED, "the agent's lease ran out"
        if self.pool.waiting >= self._queue:
            return Refusal.BUSY, f"{self.pool.waiting} tasks wait already"
        denied = self.policy.refusal(spec, attempt_id=attempt_id, signature=signature)
        return (Refusal.POLICY_DENIED, denied) if denied else None

    def _repeat(self, attempt_id: str, state: EntryState, result: StoredResult | None) -> None:
        """Answer from the journal: nothing is run twice."""
        if self._outlet is None:
            return
        if result is not None:
            self._outlet.result(attempt_id, result)
        elif state is EntryState.RUNNING:
            self._outlet.accepted(attempt_id)
        else:
            msg = "the result was acknowledged and is not kept any more"
            content = failure(Reason.REJECTED, msg)
            self._outlet.result(attempt_id, StoredResult(content=content, reason=Reason.REJECTED.value))
