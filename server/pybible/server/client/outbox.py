"""outbox: what waits to be said to the controller about a run, as few messages as possible."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pybible.server.engine.dispatcher import Target
from pybible.server.results.events import (
    HostResult,
    HostStarted,
    ItemResult,
    Output,
    Retry,
    RunEvent,
    encode_event,
)
from pybible.v1 import run_pb2
from pybible.wire.convert import signature_to_pb, spec_to_pb
from pybible.wire.tasks import Signature, TaskSpec
from pybible.wire.values import JsonObject

# A message is cut here; a single attempt or event may be as large again (the wire takes 4 MiB).
_BATCH_BYTES = 1024 * 1024
_EVENTS_AT_ONCE = 200
EVENT_BYTES = 1024 * 1024
ATTEMPT_BYTES = 3 * 1024 * 1024
# So much of events that are not known to be stored is kept; it is what a controller writes in minutes.
_KEPT_BYTES = 64 * 1024 * 1024
# What a result that is too large for the history still says of itself.
_KEPT_TEXT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedAttempt:
    """One attempt for the window."""

    attempt_id: str
    task_id: str
    target: Target
    spec: TaskSpec
    throttle: int = 0
    # Its place among the run's.
    number: int = 0
    signature: Signature | None = None
    # It may have been sent to an earlier controller.
    again: bool = False
    # How it ended, which an earlier controller may not have written down: it is only for the history.
    known: run_pb2.KnownEnd | None = None

    @property
    def size(self) -> int:
        """Bytes on the wire, about."""
        inline = sum(len(item.inline or b"") for item in self.spec.attachments)
        environment = sum(len(name) + len(value) for name, value in self.spec.environment.items())
        return 256 + len(self.spec.args) + inline + environment


class KeptEvents:
    """Batches of events that were sent, until the controller has them for good."""

    def __init__(self) -> None:
        # Each with the number of events before it.
        self._batches: deque[tuple[int, run_pb2.EventBatch]] = deque()
        self._bytes = 0

    def add(self, before: int, batch: run_pb2.EventBatch) -> bool:
        """Keep a batch. False, and nothing is kept any more, when that is too much: nobody stores them."""
        self._batches.append((before, batch))
        self._bytes += batch.ByteSize()
        if self._bytes <= _KEPT_BYTES:
            return True
        self._batches.clear()
        return False

    def drop(self, stored: int) -> None:
        """Forget the first `stored` of all events."""
        while self._batches and (first := self._batches[0])[0] + len(first[1].events) <= stored:
            self._bytes -= first[1].ByteSize()
            self._batches.popleft()
        if self._batches and (first := self._batches[0])[0] < stored:
            self._bytes -= first[1].ByteSize()
            rest = run_pb2.EventBatch(events=first[1].events[stored - first[0] :])
            self._batches[0] = (stored, rest)
            self._bytes += rest.ByteSize()

    def batches(self) -> list[run_pb2.EventBatch]:
        """Return what is left, in order."""
        return [batch for _, batch in self._batches]


class Outbox:
    """Collects; `drain` empties it into requests, in the order in which they are to be sent.

    With `keeps`, events are kept until `stored` says that the controller has them for good.
    """

    def __init__(self, *, keeps: bool = False) -> None:
        # How many events were sent.
        self.numbered = 0
        # Whether all that another controller would have to be told is here.
        self.can_repeat = keeps
        self._kept = KeptEvents()
        self._attempts: dict[str, QueuedAttempt] = {}
        self._events: list[RunEvent] = []
        self._local: list[run_pb2.LocalResult] = []
        self._cancels: list[str] = []
        self._finish: run_pb2.FinishRun | None = None
        self._finished: run_pb2.FinishRun | None = None
        self._repeated: list[run_pb2.EventBatch] = []

    def __bool__(self) -> bool:
        waits = self._attempts or self._events or self._repeated or self._local or self._cancels or self._finish
        return bool(waits)

    def attempt(self, attempt: QueuedAttempt) -> None:
        """Add an attempt."""
        self._attempts[attempt.attempt_id] = attempt

    def events(self, events: Iterable[RunEvent]) -> None:
        """Add events. What only serves a live display here stays here."""
        self._events.extend(event for event in events if not isinstance(event, HostStarted | Output))

    def local_result(self, attempt_id: str, *, failed: bool, reason: str) -> None:
        """Say that an attempt on the control node ended."""
        self._local.append(run_pb2.LocalResult(attempt_id=attempt_id, failed=failed, reason=reason))

    def cancel(self, attempt_id: str) -> bool:
        """Ask for the end of an attempt; one that was never sent is not sent at all: False, and it has no end."""
        waits = self._attempts.get(attempt_id)
        if waits is not None and not waits.again:
            del self._attempts[attempt_id]
            return False
        self._cancels.append(attempt_id)
        return True

    def finish(self, *, exit_status: int, error: str) -> None:
        """Say that the run is over, after all else."""
        self._finish = self._finished = run_pb2.FinishRun(exit_status=exit_status, error=error)

    def stored(self, events: int) -> None:
        """The controller has so many events, from the first on, for good."""
        self._kept.drop(events)

    def repeat(
        self,
        attempts: Iterable[QueuedAttempt],
        *,
        ended: Iterable[QueuedAttempt],
        stored: int,
        cancelled: Iterable[str] = (),
    ) -> None:
        """Say to another controller what it may not know.

        `attempts` have no end, in the order in which they came; `ended` have, and `known` says which.
        `stored`: how many events it has. `cancelled`: those of the attempts that are to end.
        """
        unsent, self._attempts = self._attempts, {}
        for attempt in ended:
            self._attempts[attempt.attempt_id] = attempt
        for attempt in attempts:
            waits = unsent.get(attempt.attempt_id)
            self._attempts[attempt.attempt_id] = replace(attempt, again=waits is None or waits.again)
        self._local, self._cancels = [], list(cancelled)
        self._kept.drop(stored)
        self._repeated = self._kept.batches()
        self._finish = self._finished

    @property
    def urgent(self) -> bool:
        """Whether events may wait no longer: many do already, or the run is over."""
        return self._finish is not None or bool(self._repeated) or len(self._events) >= _EVENTS_AT_ONCE

    def drain(self, *, events: bool = True) -> Iterator[run_pb2.ExecuteRequest]:
        """Take everything out; the events only if they are due."""
        attempts, self._attempts = list(self._attempts.values()), {}
        told: list[RunEvent] = []
        if events or self.urgent:
            told, self._events = self._events, []
        local, self._local = self._local, []
        cancels, self._cancels = self._cancels, []
        finish, self._finish = self._finish, None
        if local:
            yield run_pb2.ExecuteRequest(local_results=run_pb2.LocalResultBatch(results=local))
        for part in _parts(attempts):
            yield run_pb2.ExecuteRequest(attempts=_attempt_batch(part))
        if cancels:
            yield run_pb2.ExecuteRequest(cancel=run_pb2.CancelAttempts(attempt_ids=cancels))
        repeated, self._repeated = self._repeated, []
        for batch in repeated:
            yield run_pb2.ExecuteRequest(events=batch)
        for batch in _event_batches(told):
            if self.can_repeat:
                self.can_repeat = self._kept.add(self.numbered, batch)
            self.numbered += len(batch.events)
            yield run_pb2.ExecuteRequest(events=batch)
        if finish is not None:
            yield run_pb2.ExecuteRequest(finish=finish)


def _parts(attempts: list[QueuedAttempt]) -> Iterator[list[QueuedAttempt]]:
    part: list[QueuedAttempt] = []
    size = 0
    for attempt in attempts:
        if part and size + attempt.size > _BATCH_BYTES:
            yield part
            part, size = [], 0
        part.append(attempt)
        size += attempt.size
    if part:
        yield part


def _attempt_batch(attempts: list[QueuedAttempt]) -> run_pb2.AttemptBatch:
    batch = run_pb2.AttemptBatch()
    # Where in the batch a task's content stands already; the same arguments almost always mean the same task.
    known: dict[tuple[str, str, bytes], int] = {}
    for index, attempt in enumerate(attempts):
        spec, target = attempt.spec, attempt.target
        message = batch.attempts.add(
            attempt_id=attempt.attempt_id,
            task_id=attempt.task_id,
            host=target.host,
            agent=target.agent,
            throttle=attempt.throttle,
            again=attempt.again,
        )
        if attempt.known is not None:
            message.known.CopyFrom(attempt.known)
        if not target.agent:
            continue
        if spec.facts_within:
            message.facts_within.FromSeconds(int(spec.facts_within))
        if attempt.signature is not None:
            message.signature.CopyFrom(signature_to_pb(attempt.signature))
        first = known.setdefault((attempt.task_id, spec.module, spec.args), index)
        if first != index and attempts[first].spec == spec:
            message.same_as = first
            message.has_same_as = True
        else:
            message.task.CopyFrom(spec_to_pb(spec))
    return batch


def _event_batches(events: list[RunEvent]) -> Iterator[run_pb2.EventBatch]:
    batch: list[bytes] = []
    size = 0
    for event in events:
        encoded = _encode(event)
        if batch and size + len(encoded) > _BATCH_BYTES:
            yield run_pb2.EventBatch(events=batch)
            batch, size = [], 0
        batch.append(encoded)
        size += len(encoded)
    if batch:
        yield run_pb2.EventBatch(events=batch)


def _encode(event: RunEvent) -> bytes:
    encoded = encode_event(event)
    if len(encoded) > EVENT_BYTES and isinstance(event, HostResult | ItemResult | Retry):
        return encode_event(replace(event, result=_abridged(event.result, len(encoded))))
    return encoded


def _abridged(result: JsonObject, size: int) -> JsonObject:
    kept = {
        key: value[:_KEPT_TEXT] if isinstance(value, str) else value
        for key, value in result.items()
        if value is None or isinstance(value, str | int | float | bool)
    }
    return {**kept, "pybible_abridged": f"a result of {size} bytes is not kept in the history"}
