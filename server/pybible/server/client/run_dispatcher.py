"""run_dispatcher: the engine's Dispatcher over RunService.Execute."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import grpc
import grpc.aio

from pybible.server.client import pushed_facts
from pybible.server.client.contents import Contents
from pybible.server.client.failures import call_failure, is_gone, short_reason
from pybible.server.client.local_worker import LocalWorker, decode_outcome, local_failure
from pybible.server.client.outbox import ATTEMPT_BYTES, Outbox, QueuedAttempt
from pybible.server.client.waiting import Waiting
from pybible.server.engine.dispatcher import Outcome, OutputSink, Target
from pybible.server.results.events import RunEvent
from pybible.server.results.recap import COUNTS, HostRecap, Recap
from pybible.v1 import agent_pb2, run_pb2
from pybible.wire import faults
from pybible.wire.convert import seconds_of
from pybible.wire.errors import AccessDenied, ConnectionFailed, PybibleError
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import Attachment, Signature, TaskSpec

Call = grpc.aio.StreamStreamCall[run_pb2.ExecuteRequest, run_pb2.ExecuteResponse]

_T = TypeVar("_T")

_FINISH_SECONDS = 60.0
# How long after another connection the one of the run may find out that the controller is gone.
_NOTICE_SECONDS = 2.0
# Attempts go out at once; events only make up the history, and every message costs both ends.
_EVENTS_SECONDS = 0.05
_STREAMS = {agent_pb2.Output.STREAM_STDERR: "stderr"}


class Sign(Protocol):
    """Gives the operator's word for an attempt."""

    def __call__(self, spec: TaskSpec, *, attempt_id: str, agent: str) -> Signature:
        """Return it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """How to go on with a run at a controller that was started again."""

    # Given the run and for how many seconds to try. PybibleError when it can't be done.
    rejoin: Callable[[str, float], Awaitable[tuple[Call, run_pb2.RunStarted]]]
    warn: Callable[[str], None]


class RunDispatcher:
    """One open run. `group` owns what goes on in the background; `close` ends it."""

    def __init__(
        self,
        call: Call,
        started: run_pb2.RunStarted,
        *,
        contents: Contents,
        local: LocalWorker,
        group: asyncio.TaskGroup,
        target: str,
        sign: Sign | None = None,
        way_back: WayBack | None = None,
    ) -> None:
        self.run_id = started.run_id
        self.present = frozenset(started.present)
        self._call = call
        self._inline_bytes = started.inline_attachment_bytes
        self._contents = contents
        self._group = group
        self._target = target
        self._sign = sign
        self._local = local
        self._way_back = way_back
        # For how long a controller that went away is waited for; 0: not at all.
        self._window = seconds_of(started.recovery_window) if way_back is not None else 0.0
        self._outbox = Outbox(keeps=self._window > 0)
        # Attempts with an end that the history may not have: each is known to be there with so many events.
        self._ended: deque[tuple[int, QueuedAttempt]] = deque()
        # Attempts that nobody waits for any more, and that a controller has had, until it says that they have ended.
        self._dropped: dict[str, QueuedAttempt] = {}
        self._up = asyncio.Event()
        self._up.set()
        # Set when the controller has gone away, or has come back, or is given up.
        self._moves = asyncio.Condition()
        self._returns = 0
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        self._events_due = False
        self._events_timer: asyncio.TimerHandle | None = None
        self._numbers = itertools.count(1)
        self._waiting: dict[str, Waiting] = {}
        self._cancelled = ""
        self._failure: PybibleError | None = None
        self._finished: asyncio.Future[run_pb2.RunFinished] = asyncio.get_running_loop().create_future()
        self._tasks = [
            group.create_task(self._send(), name="run: send"),
            group.create_task(self._receive(), name="run: receive"),
        ]

    @property
    def inline_attachment_bytes(self) -> int:
        """How large content may be to travel inside a task."""
        return self._inline_bytes

    @property
    def is_away(self) -> bool:
        """Whether the controller is waited for."""
        return not self._up.is_set()

    @property
    def cancelled(self) -> str:
        """Why the run is to end, or empty."""
        return self._cancelled

    @property
    def out(self) -> tuple[str, ...]:
        """The hosts of all attempts without a result."""
        return tuple(sorted({waiting.target.host for waiting in self._waiting.values()}))

    async def run(
        self, target: Target, spec: TaskSpec, *, task_id: str, throttle: int = 0, output: OutputSink | None = None
    ) -> Outcome:
        """Run one task on one host, once. ConnectionFailed when the controller is gone."""
        self._check()
        number = next(self._numbers)
        attempt_id = f"{self.run_id}.{number}"
        signature = None
        if self._sign is not None and target.agent:
            signature = self._sign(spec, attempt_id=attempt_id, agent=target.agent)
        attempt = QueuedAttempt(
            attempt_id=attempt_id,
            task_id=task_id,
            target=target,
            spec=spec,
            throttle=throttle,
            number=number,
            signature=signature,
        )
        if target.agent:
            problem = await self._prepare(attempt)
            if problem is not None:
                return problem
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        waiting = Waiting(queued=attempt, future=future, output=output)
        self._waiting[attempt.attempt_id] = waiting
        self._outbox.attempt(attempt)
        self._poke()
        try:
            return await future
        except asyncio.CancelledError:
            if self._outbox.cancel(attempt.attempt_id) and self._window and future.cancelled():
                self._dropped[attempt.attempt_id] = waiting.queued
            self._poke()
            raise
        finally:
            self._waiting.pop(attempt.attempt_id, None)
            if waiting.here is not None:
                waiting.here.cancel()

    async def attach(self, path: Path) -> Attachment:
        """Make a file's content available to tasks. It is sent when the first of them is for another machine."""
        return await self._contents.attach(path)

    async def save(self, attachment: Attachment, path: Path) -> None:
        """Write what a task handed over to `path`. PybibleError when it can't be had, OSError when not be written."""
        here = self._local.given(attachment.sha256)
        if here is not None:
            await asyncio.to_thread(shutil.copyfile, here, path)
            return

        async def save() -> None:
            with path.open("wb") as file:
                await self._contents.save(attachment, file)

        await self._through(save)

    def publish(self, events: Iterable[RunEvent]) -> None:
        """Hand over what the engine decided, in order."""
        self._outbox.events(events)
        if self._outbox.urgent:
            self._poke()
        elif self._events_timer is None:
            self._sent.clear()
            self._events_timer = asyncio.get_running_loop().call_later(_EVENTS_SECONDS, self._let_events_out)

    async def finish(self, *, exit_status: int, error: str = "") -> Recap:
        """End the run and return the recap as the controller counted it."""
        self._check()
        self._outbox.finish(exit_status=exit_status, error=error)
        self._poke()
        while True:
            returns = self._returns
            try:
                async with asyncio.timeout(_FINISH_SECONDS):
                    return _recap(await asyncio.shield(self._finished))
            except TimeoutError as late:
                if not (self.is_away or self._returns > returns):
                    text = f"the controller at {self._target} does not say how the run ended"
                    raise ConnectionFailed(text) from late

    async def close(self) -> None:
        """End everything; what still waits fails."""
        self._fail(ConnectionFailed("the run is over"))
        for task in self._tasks:
            task.cancel()
        if self._events_timer is not None:
            self._events_timer.cancel()
        self._call.cancel()
        await self._local.close()

    async def flush(self) -> None:
        """Wait until what was handed over has been sent, or can't be."""
        if self._outbox and self._failure is None and not self.is_away:
            self._let_events_out()
            await self._sent.wait()

    def _let_events_out(self) -> None:
        if self._events_timer is not None:
            self._events_timer.cancel()
            self._events_timer = None
        self._events_due = True
        self._poke()

    def _poke(self) -> None:
        self._sent.clear()
        self._wake.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _prepare(self, attempt: QueuedAttempt) -> Outcome | None:
        """Get an attempt's contents to the controller. Return the failure, if it can't be sent."""
        if attempt.size > ATTEMPT_BYTES:
            text = f"the task's arguments are too large: {len(attempt.spec.args)} bytes"
            return local_failure(text, Reason.CONTENT_MISSING)
        for attachment in attempt.spec.attachments:
            if attachment.inline is None:
                try:
                    await self._through(partial(self._contents.ensure, attachment))
                except PybibleError as error:
                    self._check()
                    return local_failure(str(error), Reason.CONTENT_MISSING)
        return None

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            await self._up.wait()
            call = self._call
            self._wake.clear()
            # What the engine hands over in this turn of the loop goes in one message.
            await asyncio.sleep(0)
            due, self._events_due = self._events_due, False
            # All at once: what can't be sent now is said again to a controller that comes back.
            requests = list(self._outbox.drain(events=due))
            try:
                for request in requests:
                    faults.at("ctl_before_send")
                    await call.write(request)
                    faults.at("ctl_after_send")
            except (grpc.RpcError, asyncio.InvalidStateError):
                # The receiving side learns why.
                self._sent.set()
                if not self._window:
                    return
            if not self._outbox:
                self._sent.set()

    async def _receive(self) -> None:
        failure: PybibleError | None = None
        while failure is None:
            try:
                while isinstance(response := await self._call.read(), run_pb2.ExecuteResponse):
                    self._take(response)
            except grpc.RpcError as error:
                failure = call_failure(error, self._target)
                if isinstance(failure, ConnectionFailed):
                    failure = self._lost(short_reason(error))
                    if self._may_return(error):
                        failure = await self._return(failure)
            else:
                failure = self._lost("it ended the call")
        self._fail(failure)

    def _may_return(self, error: grpc.RpcError) -> bool:
        """Whether the controller itself is gone, and the run can go on once it is back."""
        if not self._window or self._cancelled or self._finished.done():
            return False
        return is_gone(error) and self._outbox.can_repeat

    async def _return(self, failure: PybibleError) -> PybibleError | None:
        """Wait for the controller and go on with the run there. Return how it failed if it does not come."""
        if self._way_back is None:
            return failure
        await self._move(self._up.clear)
        self._way_back.warn(
            f"the controller at {self._target} went away; the run goes on if it is back within {self._window:g} s"
        )
        try:
            self._call, started = await self._way_back.rejoin(self.run_id, self._window)
        except ConnectionFailed:
            return failure
        except PybibleError as error:
            return ConnectionFailed(f"{failure.message}; and now: {error.message}", hint=failure.hint)
        queued = [waiting.queued for waiting in self._waiting.values() if not waiting.future.done()]
        queued = sorted([*queued, *self._dropped.values()], key=lambda attempt: attempt.number)
        self._outbox.repeat(
            [self._signed_again(attempt) for attempt in queued],
            ended=[attempt for _, attempt in self._ended],
            stored=started.events_stored,
            cancelled=self._dropped,
        )
        self._returns += 1
        await self._move(self._up.set)
        self._let_events_out()
        return None

    async def _move(self, how: Callable[[], None]) -> None:
        async with self._moves:
            how()
            self._moves.notify_all()

    def _signed_again(self, attempt: QueuedAttempt) -> QueuedAttempt:
        if self._sign is None or attempt.signature is None:
            return attempt
        signature = self._sign(attempt.spec, attempt_id=attempt.attempt_id, agent=attempt.target.agent)
        return replace(attempt, signature=signature)

    async def _through(self, action: Callable[[], Awaitable[_T]]) -> _T:
        """Do what needs the controller; if it goes away meanwhile, once more when it is back."""
        while True:
            returns = self._returns
            try:
                return await action()
            except (ConnectionFailed, AccessDenied):
                if not await self._has_returned(returns):
                    raise

    async def _has_returned(self, returns: int) -> bool:
        """Say whether the controller has come back since it had so many times; if it is away, wait for it."""
        if not self._window:
            return False

        def settled() -> bool:
            return self._returns > returns or self._failure is not None

        async with self._moves:
            with contextlib.suppress(TimeoutError):
                # The call of the run may hear of it a little later.
                async with asyncio.timeout(_NOTICE_SECONDS):
                    await self._moves.wait_for(lambda: self.is_away or settled())
            if self.is_away:
                await self._moves.wait_for(settled)
        return self._returns > returns

    def _lost(self, why: str) -> PybibleError:
        text = f"the controller at {self._target} went away in the middle of run {self.run_id}: {why}"
        return ConnectionFailed(text, hint="What was out is cancelled by the controller, or ends by itself.")

    def _fail(self, failure: PybibleError) -> None:
        if self._failure is None:
            self._failure = failure
            self._tasks.append(self._group.create_task(self._move(self._up.set)))
        if not self._finished.done():
            self._finished.set_exception(self._failure)
            # Nobody may be waiting for it.
            self._finished.exception()
        for waiting in list(self._waiting.values()):
            if not waiting.future.done():
                waiting.future.set_exception(self._failure)

    def _take(self, response: run_pb2.ExecuteResponse) -> None:
        match response.WhichOneof("message"):
            case "updates":
                for update in response.updates.updates:
                    self._update(update)
            case "stored":
                events = response.stored.events
                self._outbox.stored(events)
                while self._ended and self._ended[0][0] <= events:
                    self._ended.popleft()
            case "cancelled":
                self._cancelled = response.cancelled.reason or "cancelled"
            case "finished" if not self._finished.done():
                self._finished.set_result(response.finished)

    def _update(self, update: run_pb2.AttemptUpdate) -> None:
        waiting = self._waiting.get(update.attempt_id)
        news = update.WhichOneof("news")
        if waiting is None:
            if news == "ended" and (dropped := self._dropped.pop(update.attempt_id, None)) is not None:
                self._keep_end(dropped, failed=_has_failed(update.ended), reason=update.ended.reason)
            if news == "started" and self._returns:
                # It ended while the controller was away.
                self._outbox.local_result(update.attempt_id, failed=False, reason="")
                self._poke()
            return
        match news:
            # Whatever the controller says: here runs only what is for here, and once.
            case "started" if not waiting.target.agent and waiting.here is None:
                waiting.here = self._group.create_task(self._run_here(waiting), name="run: local task")
            case "output":
                output = update.output
                waiting.print(_STREAMS.get(output.stream, "stdout"), output.data, output.dropped)
            case "ended":
                faults.at("ctl_before_result")
                self._take_end(waiting, update.ended)

    def _end(self, waiting: Waiting, outcome: Outcome) -> None:
        """Give the engine its result, if it still waits for one."""
        if waiting.future.done():
            return
        failed = bool(outcome.reason) or bool(outcome.result.get("failed"))
        self._keep_end(waiting.queued, failed=failed, reason=outcome.reason)
        waiting.future.set_result(outcome)

    def _keep_end(self, attempt: QueuedAttempt, *, failed: bool, reason: str) -> None:
        """Keep what another controller may have to be told: this one had it before any event sent from now on."""
        if self._window:
            known = run_pb2.KnownEnd(failed=failed, reason=reason)
            self._ended.append((self._outbox.numbered + 1, replace(attempt, known=known)))

    def _take_end(self, waiting: Waiting, ended: run_pb2.AttemptEnded) -> None:
        if ended.HasField("facts"):
            self._end(waiting, _from_facts(ended.facts))
        elif ended.HasField("blob"):
            self._group.create_task(self._fetch(waiting, ended), name="run: large result")
        else:
            self._end(waiting, decode_outcome(ended.inline, reason=ended.reason, unreachable=ended.unreachable))

    async def _fetch(self, waiting: Waiting, ended: run_pb2.AttemptEnded) -> None:
        blob = Attachment(sha256=ended.blob.sha256, size=ended.blob.size)
        try:
            content = await self._through(partial(self._contents.fetch, blob))
        except PybibleError as error:
            self._end(waiting, local_failure(f"the host's result can't be read: {error}", Reason.CONTENT_MISSING))
        else:
            self._end(waiting, decode_outcome(content, reason=ended.reason, unreachable=ended.unreachable))

    async def _run_here(self, waiting: Waiting) -> None:
        outcome = local_failure("cancelled", Reason.CANCELLED)
        try:
            outcome = await self._local.run(waiting.attempt_id, waiting.queued.spec, output=waiting.print)
        finally:
            failed = bool(outcome.result.get("failed")) or bool(outcome.reason)
            self._outbox.local_result(waiting.attempt_id, failed=failed, reason=outcome.reason)
            self._poke()
        waiting.here = None
        self._end(waiting, outcome)


def _has_failed(ended: run_pb2.AttemptEnded) -> bool:
    if ended.reason or not ended.HasField("inline"):
        return bool(ended.reason)
    outcome = decode_outcome(ended.inline, reason=ended.reason, unreachable=ended.unreachable)
    return bool(outcome.reason) or bool(outcome.result.get("failed"))


def _from_facts(pushed: run_pb2.PushedFacts) -> Outcome:
    age = pushed.age.seconds + pushed.age.nanos / 1e9
    try:
        return Outcome(result=pushed_facts.decode(pushed.facts, pushed.moving, age=age))
    except PybibleError as error:
        return local_failure(str(error), Reason.BAD_RESULT)


def _recap(finished: run_pb2.RunFinished) -> Recap:
    return Recap(
        hosts={line.host: HostRecap(**{name: getattr(line, name) for name in COUNTS}) for line in finished.recap}
    )
