"""workers: the pool in which attempts run: at most `slots` at once, on persistent workers, one identity each."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol

from pybible.agent.become import BecomeError, WorkerIdentity, identity_of
from pybible.agent.failures import failure
from pybible.agent.giving import Giving
from pybible.agent.output import OutputBuffer
from pybible.agent.worker_process import WorkerProcess
from pybible.wire import faults
from pybible.wire.errors import ProtocolError
from pybible.wire.frames import Frame
from pybible.wire.logs import attempt_fields
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import Attachment, Become, TaskSpec, spec_to_header
from pybible.wire.values import dumps, loads_object

TIMEOUT_GRACE = 2.0
# How long a killed process may take to be gone; past it nothing helps (it hangs in the kernel).
_KILL_SECONDS = 10.0
_PART_BYTES = 1024 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How an attempt ended: a JSON object, and why it is not the module's own (empty: it is). Seconds."""

    content: bytes
    reason: str = ""
    elapsed: float = 0.0


class Sink(Protocol):
    """Who is told what happens to attempts."""

    def started(self, attempt_id: str) -> None:
        """A worker has begun."""

    def output(self, attempt_id: str, stream: str, offset: int, data: bytes, dropped: int) -> None:
        """The task printed something."""

    def finished(self, attempt_id: str, result: Finished) -> None:
        """The attempt is over. Called exactly once for each that was submitted."""


class ContentError(Exception):
    """Content of a task can't be had. `str()` says why."""


class ContentSource(Protocol):
    """From where the contents of a task come."""

    async def locate(self, attachment: Attachment) -> Attachment:
        """Return it with `inline` or `path` set. ContentError when it can't be had."""

    def release(self, attachment: Attachment) -> None:
        """Say that the task is over which had located it."""

    async def take(self, attachment: Attachment, parts: AsyncIterator[bytes]) -> None:
        """Bring what a module hands over to where the engine finds it. ContentError when that can't be."""


@dataclass(slots=True)
class _Attempt:
    id: str
    spec: TaskSpec
    identity: WorkerIdentity
    worker: WorkerProcess | None = None
    stopped: tuple[Reason, str] | None = None
    grace: float = 0.0
    located: list[Attachment] = field(default_factory=list)

    def is_stopped(self) -> bool:
        """Whether it is to end early."""
        return self.stopped is not None

    def stop(self, reason: Reason, msg: str, grace: float) -> None:
        """End it, for the first reason that was given."""
        if self.stopped is None:
            self.stopped, self.grace = (reason, msg), grace
        if self.worker is not None:
            self.worker.stop(grace)


@dataclass(slots=True, eq=False)
class _Slot:
    """A worker's place in the pool. `given` is the next attempt, or None: end."""

    identity: WorkerIdentity
    given: asyncio.Future[_Attempt | None] = field(default_factory=asyncio.Future)
    idle_since: float = 0.0

    def give(self, attempt: _Attempt | None) -> None:
        if not self.given.done():
            self.given.set_result(attempt)


class WorkerPool:
    """Runs attempts. Use as `async with WorkerPool(...) as pool`; leaving the block kills what still runs.

    `may_start` is asked before an attempt is begun: a lease that ran out holds the queue back until `resume`.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        slots: int,
        contents: ContentSource,
        idle_seconds: float = 60.0,
        may_start: Callable[[], bool] = lambda: True,
        identify: Callable[[Become | None], WorkerIdentity] = identity_of,
    ) -> None:
        self.slots = slots
        self._sink = sink
        self._contents = contents
        self._idle_seconds = idle_seconds
        self._may_start = may_start
        self._identify = identify
        self._queue: deque[_Attempt] = deque()
        self._running: dict[str, _Attempt] = {}
        self._slots: set[_Slot] = set()
        self._idle: list[_Slot] = []
        self._group = asyncio.TaskGroup()
        self._reaper: asyncio.TimerHandle | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def __aenter__(self) -> WorkerPool:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._idle_seconds = 0
        if self._reaper is not None:
            self._reaper.cancel()
        self.cancel_all(Reason.CANCELLED, "the agent was stopped", grace=0)
        for slot in self._slots:
            slot.give(None)
        await self._group.__aexit__(kind, error, trace)

    @property
    def running(self) -> int:
        """How many attempts run now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._queue)

    def knows(self, attempt_id: str) -> bool:
        """Tell whether it waits or runs here."""
        return attempt_id in self._running or any(waiting.id == attempt_id for waiting in self._queue)

    def submit(self, attempt_id: str, spec: TaskSpec) -> None:
        """Run it when a slot is free. What becomes of it goes to the sink."""
        try:
            identity = self._identify(spec.become)
        except BecomeError as error:
            reason = Reason.BECOME_FAILED
            self._sink.finished(attempt_id, Finished(content=failure(reason, str(error)), reason=reason))
            return
        self._quiet.clear()
        self._queue.append(_Attempt(attempt_id, spec, identity))
        self.resume()

    def cancel(self, attempt_id: str, *, grace: float, reason: Reason = Reason.CANCELLED, msg: str = "") -> bool:
        """End an attempt. False when it is not here (any more)."""
        msg = msg or "the task was cancelled"
        attempt = self._running.get(attempt_id)
        if attempt is not None:
            attempt.stop(reason, msg, grace)
            return True
        for waiting in self._queue:
            if waiting.id == attempt_id:
                self._queue.remove(waiting)
                self._sink.finished(attempt_id, Finished(content=failure(reason, msg), reason=reason))
                self._note_quiet()
                return True
        return False

    def cancel_all(self, reason: Reason, msg: str, *, grace: float) -> None:
        """End every attempt."""
        for attempt_id in [waiting.id for waiting in self._queue] + list(self._running):
            self.cancel(attempt_id, grace=grace, reason=reason, msg=msg)

    async def idle(self) -> None:
        """Wait until nothing runs and nothing waits."""
        await self._quiet.wait()

    def resume(self) -> None:
        """Begin what waits, as far as slots are free."""
        while self._queue and len(self._running) < self.slots and self._may_start():
            attempt = self._queue.popleft()
            self._running[attempt.id] = attempt
            slot = self._take_idle(attempt.identity)
            if slot is not None:
                slot.give(attempt)
                continue
            if len(self._slots) >= self.slots and self._idle:
                self._idle.pop(0).give(None)
            slot = _Slot(attempt.identity)
            self._slots.add(slot)
            self._group.create_task(self._occupy(slot, attempt))

    def _take_idle(self, identity: WorkerIdentity) -> _Slot | None:
        # The one that worked last: the others may become idle for long enough to be let go.
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index].identity == identity:
                return self._idle.pop(index)
        return None

    async def _occupy(self, slot: _Slot, first: _Attempt) -> None:
        """Live through one worker: start it, run attempts on it while it lives and is wanted, end it."""
        attempt: _Attempt | None = first
        worker: WorkerProcess | None = None
        try:
            while attempt is not None:
                try:
                    if worker is not None and not worker.alive:
                        # It was killed while it had nothing to do.
                        await worker.close()
                        worker = None
                    if worker is None:
                        worker = await WorkerProcess.start(slot.identity)
                    result = await self._run(worker, attempt)
                except OSError as error:
                    result = _not_started(slot.identity, error)
                except Exception as error:
                    result = _unexpected(error, attempt)
                if not self._go_on(slot, attempt, result, usable=worker is not None and worker.alive):
                    break
                attempt = await slot.given
        finally:
            self._slots.discard(slot)
            if slot in self._idle:
                self._idle.remove(slot)
            if worker is not None:
                await worker.close()

    def _go_on(self, slot: _Slot, attempt: _Attempt, result: Finished, *, usable: bool) -> bool:
        """Hand over a result and take the slot's worker into the pool again. False when it is of no more use."""
        del self._running[attempt.id]
        usable = usable and self._idle_seconds > 0
        if usable:
            slot.given = asyncio.get_running_loop().create_future()
            slot.idle_since = time.monotonic()
            self._idle.append(slot)
            self._watch_idle()
        self._sink.finished(attempt.id, result)
        self.resume()
        self._note_quiet()
        return usable

    def _note_quiet(self) -> None:
        if not self._running and not self._queue:
            self._quiet.set()

    def _watch_idle(self) -> None:
        if self._reaper is None and self._idle:
            # The first has been idle for longest.
            left = self._idle[0].idle_since + self._idle_seconds - time.monotonic()
            self._reaper = asyncio.get_running_loop().call_later(max(left, 0.01), self._reap)

    def _reap(self) -> None:
        """Let go of the workers that had nothing to do for long."""
        self._reaper = None
        before = time.monotonic() - self._idle_seconds
        for slot in [each for each in self._idle if each.idle_since <= before]:
            self._idle.remove(slot)
            slot.give(None)
        self._watch_idle()

    async def _run(self, worker: WorkerProcess, attempt: _Attempt) -> Finished:
        attempt.worker = worker
        try:
            return await self._run_with_contents(worker, attempt)
        finally:
            for attachment in attempt.located:
                self._contents.release(attachment)

    async def _run_with_contents(self, worker: WorkerProcess, attempt: _Attempt) -> Finished:
        spec = attempt.spec
        if not attempt.is_stopped() and spec.attachments:
            try:
                spec = await self._provide(worker, attempt)
            except ContentError as error:
                return Finished(content=failure(Reason.CONTENT_MISSING, str(error)), reason=Reason.CONTENT_MISSING)
        if attempt.is_stopped():
            return _stopped(attempt, 0.0)
        faults.at("before_start")
        self._sink.started(attempt.id)
        output = OutputBuffer(lambda *part: self._sink.output(attempt.id, *part))
        loop = asyncio.get_running_loop()
        giving = worker.giving = Giving(self._group, self._contents.take, hold=worker.hold, failures=ContentError)
        began = time.monotonic()
        timer = loop.call_later(spec.timeout, _time_out, attempt, spec.timeout) if spec.timeout else None
        try:
            header = {"type": "run", **spec_to_header(spec)}
            answering = worker.begin(header, spec.args, lambda frame: _take_output(output, frame))
            faults.at("after_start")
            answer = await answering
            problem = await giving.ended()
        finally:
            worker.giving = None
            giving.cancel()
            if timer is not None:
                timer.cancel()
            output.close()
        elapsed = time.monotonic() - began
        if attempt.is_stopped():
            await self._end(worker, attempt)
            return _stopped(attempt, elapsed)
        if answer is None:
            return await self._died(worker, elapsed)
        if problem:
            return Finished(content=failure(Reason.CONTENT_MISSING, problem), reason=Reason.CONTENT_MISSING)
        return _answered(worker, answer, elapsed, attempt)

    async def _provide(self, worker: WorkerProcess, attempt: _Attempt) -> TaskSpec:
        """Bring the attachments to where the worker can read them: beside the task if it is another user."""
        located = []
        for attachment in attempt.spec.attachments:
            attempt.located.append(attachment)
            item = await self._contents.locate(attachment)
            if item.path and worker.identity.user:
                await _send_content(worker, item)
            located.append(item)
        return replace(attempt.spec, attachments=tuple(located))

    async def _end(self, worker: WorkerProcess, attempt: _Attempt) -> None:
        """See a stopped worker out: it ends by itself, or is killed by its timer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(attempt.grace + _KILL_SECONDS):
                await worker.gone.wait()
        worker.sweep()

    async def _died(self, worker: WorkerProcess, elapsed: float) -> Finished:
        """Say how a worker ended without a result."""
        status = await worker.close()
        worker.sweep()
        tail = worker.printed.take()
        if not worker.ready and worker.identity.user:
            reason, msg = Reason.BECOME_FAILED, f"can't become {worker.identity.user}"
            msg = f"{msg}: {tail}" if tail else f"{msg}: exit status {status}"
        else:
            reason, msg = Reason.WORKER_DIED, f"the module's worker ended without a result: {_how(status)}"
        content = failure(reason, msg, module_stderr=tail, rc=status)
        return Finished(content=content, reason=reason, elapsed=elapsed)


def _time_out(attempt: _Attempt, seconds: float) -> None:
    attempt.stop(Reason.TIMED_OUT, f"Timed out after {seconds:g} second(s).", TIMEOUT_GRACE)


def _take_output(output: OutputBuffer, frame: Frame) -> None:
    header = frame.header
    stream, offset, dropped = header["stream"], header["offset"], header.get("dropped", 0)
    if stream not in ("stdout", "stderr") or not all(
        type(each) is int and 0 <= each < 2**63 for each in (offset, dropped)
    ):
        raise ProtocolError("output of a worker that is none")
    output.add(stream, offset, frame.body, dropped)


def _stopped(attempt: _Attempt, elapsed: float) -> Finished:
    assert attempt.stopped is not None  # noqa: S101  the caller saw it
    reason, msg = attempt.stopped
    values = {"timedout": {"period": attempt.spec.timeout}} if reason is Reason.TIMED_OUT else {}
    return Finished(content=failure(reason, msg, **values), reason=reason, elapsed=elapsed)


def _answered(worker: WorkerProcess, answer: Frame, elapsed: float, attempt: _Attempt) -> Finished:
    content = answer.body
    printed = worker.printed.take()
    if printed:
        extra = attempt_fields(attempt.id, module=attempt.spec.module, bytes=len(printed))
        _log.warning("a module printed text", extra=extra)
        if not attempt.spec.no_log:
            content = _with_warning(content, f"The module printed text that is no part of its result: {printed}")
    return Finished(content=content, reason=str(answer.header.get("reason", "")), elapsed=elapsed)


def _with_warning(content: bytes, text: str) -> bytes:
    try:
        result = loads_object(content)
    except ValueError:
        # Whoever reads it says that it is none.
        return content
    before = result.get("warnings")
    result["warnings"] = [*before, text] if isinstance(before, list) else [text]
    return dumps(result)


def _how(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {signal.Signals(-status).name}"
    except ValueError:
        return f"signal {-status}"


def _not_started(identity: WorkerIdentity, error: OSError) -> Finished:
    reason = Reason.BECOME_FAILED if identity.user else Reason.INTERNAL_ERROR
    what = f"can't become {identity.user}" if identity.user else "can't start a worker"
    return Finished(content=failure(reason, f"{what}: {error}"), reason=reason)


def _unexpected(error: Exception, attempt: _Attempt) -> Finished:
    extra = attempt_fields(attempt.id, module=attempt.spec.module)
    _log.error("an attempt failed in the agent", exc_info=error, extra=extra)
    text = f"{type(error).__name__}: {error}"
    return Finished(content=failure(Reason.INTERNAL_ERROR, text), reason=Reason.INTERNAL_ERROR)


async def _send_content(worker: WorkerProcess, item: Attachment) -> None:
    with await asyncio.to_thread(open, item.path, "rb") as file:
        while True:
            part = await asyncio.to_thread(file.read, _PART_BYTES)
            await worker.send({"type": "content", "sha256": item.sha256}, part)
            if len(part) < _PART_BYTES:
                return
