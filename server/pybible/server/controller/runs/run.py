"""run: the life of one run: its window, its attempts and their verdicts. Nothing here ever waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from pybible.server.controller.dispatch.router import Router
from pybible.server.controller.dispatch.turns import SLICE, Turns
from pybible.server.controller.dispatch.window import Window
from pybible.server.controller.rights import Rights
from pybible.server.controller.runs.events import EventLog
from pybible.server.controller.runs.history import History, Work
from pybible.server.controller.runs.ids import wire_id
from pybible.server.controller.runs.live import LiveOutput
from pybible.server.controller.runs.outgoing import Outgoing
from pybible.server.controller.runs.recovering import Past
from pybible.server.controller.sessions import attempts as verdicts
from pybible.server.controller.sessions.attempts import Attempt, AttemptState, Verdict
from pybible.server.controller.store.runs import RunRecord, RunState
from pybible.server.results.audit import NOBODY, Actor, AuditEntry
from pybible.server.results.recap import COUNTS, HostRecap
from pybible.v1 import agent_pb2, run_pb2
from pybible.wire.errors import ProtocolError
from pybible.wire.logs import fields
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import module_of

log = logging.getLogger(__name__)

NAME_LENGTH = 253
# What an operator will ask about: nobody meant it to happen.
_TOLD = frozenset(
    {
        Reason.LOST_MID_TASK,
        Reason.INTERRUPTED,
        Reason.ACCEPT_TIMEOUT,
        Reason.WORKER_DIED,
        Reason.BAD_RESULT,
        Reason.RESULT_TOO_LARGE,
        Reason.CONTENT_MISSING,
        Reason.INTERNAL_ERROR,
    }
)

STATES = {
    RunState.RUNNING: run_pb2.RUN_STATE_RUNNING,
    RunState.FINISHED: run_pb2.RUN_STATE_FINISHED,
    RunState.CANCELLED: run_pb2.RUN_STATE_CANCELLED,
    RunState.INTERRUPTED: run_pb2.RUN_STATE_INTERRUPTED,
    RunState.FAILED: run_pb2.RUN_STATE_FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The bounds of runs. Times in seconds."""

    forks: int = 5
    max_forks: int = 10_000
    disconnect_grace: float = 15.0
    # How long after its own timeout the controller ends a task by itself.
    deadline_slack: float = 15.0
    # How long an agent may take to end what was cancelled.
    cancel_seconds: float = 15.0
    # How long a ctl may take to end a run that was cancelled.
    farewell_seconds: float = 30.0
    # How long, after a controller that was killed, ctls and agents may take to be back. 0: its runs are interrupted.
    recovery_window: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """What was agreed for one run."""

    disconnect_grace: float
    lost_is_unreachable: bool = False
    # Whether ctl wants what running tasks print.
    live_output: bool = True
    # What its operator may have run; None: anything.
    rights: Rights | None = None
    # Whose run it is.
    actor: Actor = NOBODY


class Run:
    """One run, from its start until nothing of it is out any more. It owns its attempts (AttemptOwner)."""

    def __init__(
        self,
        record: RunRecord,
        terms: RunTerms,
        *,
        settings: RunSettings,
        router: Router,
        history: History,
        ended: Callable[[Run], None],
        past: Past | None = None,
        turns: Turns | None = None,
    ) -> None:
        """`past` is what an earlier controller knew of the run, if its ctl has come back to it."""
        self.record = record
        self.past = past
        self.terms = terms
        self.outgoing = Outgoing()
        self.can_be_rejoined = settings.recovery_window > 0 and terms.disconnect_grace > 0
        self.events = EventLog(
            record.run_id,
            history,
            recap=past.recap if past is not None else None,
            events=past.events if past is not None else 0,
            stored=self._stored if self.can_be_rejoined else None,
        )
        self._live = LiveOutput()
        self.window = Window(forks=record.forks)
        self._settings = settings
        self._router = router
        self._history = history
        self._tell = ended
        self._turns = turns or Turns()
        self._attempts: dict[str, Attempt] = {}
        self._position = past.position if past is not None else 0
        # Contents that are not to be kept when it is over, by their sha256.
        self.brief: set[str] = set()
        # Set once nothing more goes out: the state in which the run will end.
        self._ending: RunState | None = None
        # Set by an operator's cancel, or by a controller that stops: how the run will end, whatever ctl says.
        self._cancelled: RunState | None = None
        self._over = False
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._farewell: asyncio.TimerHandle | None = None
        # Wall time that never goes back, so that the history's order is the true one.
        self._wall = time.time() - time.monotonic()
        history.run(record)
        self._note("run.start" if past is None else "run.rejoin", forks=record.forks, check=record.check_mode)

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.record.run_id

    @property
    def out(self) -> int:
        """How many attempts have a slot."""
        return self.window.out

    # --- what ctl says

    def submit(self, batch: run_pb2.AttemptBatch, first: int = 0, last: int | None = None) -> None:
        """Put the attempts of a batch, or some of them, into the window. ProtocolError for what is no attempt."""
        for message in batch.attempts[first:last]:
            attempt = self._attempt(message, batch)
            if message.HasField("known") and self.past is not None:
                self._know(attempt, message.known)
                continue
            if self._ending is not None or self._cancelled is not None:
                self.outgoing.ended(attempt.name, verdicts.cancelled())
                continue
            if attempt.again and self._has_ended(attempt):
                continue
            self._attempts[attempt.name] = attempt
            self.window.submit(attempt.name, task_id=attempt.task_id, throttle=message.throttle)
        self._pump()

    def _has_ended(self, attempt: Attempt) -> bool:
        """Say whether an earlier controller gave an attempt its verdict: that stands, and ctl hears of it now."""
        end = self.past.ended.get(attempt.id) if self.past is not None and attempt.agent else None
        if end is None:
            return False
        if not end.given:
            attempt.resulted_at = end.ended
            return False
        self.outgoing.ended(attempt.name, verdicts.ended_before(attempt, end.reason))
        self._router.recovery.known(attempt.id)
        return True

    def _know(self, attempt: Attempt, known: run_pb2.KnownEnd) -> None:
        """ctl had the end of an attempt from an earlier controller, which may not have written it down."""
        content = b'{"failed":true}' if known.failed else b"{}"
        attempt.verdict = Verdict(content=content, reason=known.reason[:64])
        attempt.state = AttemptState.DONE
        if self.past is not None:
            # Not known to the moment; it was before this controller was.
            attempt.ended_at = max(self.past.since, attempt.granted_at or 0.0)
            attempt.granted_at = attempt.granted_at or attempt.ended_at
        self._history.attempt(attempt)
        self._router.recovery.known(attempt.id)

    def local_results(self, results: Iterable[run_pb2.LocalResult]) -> None:
        """Attempts on the control node ended. What came of them is known there."""
        for result in results:
            attempt = self._attempts.get(result.attempt_id)
            if attempt is not None and not attempt.agent and self.window.is_out(attempt.name):
                failed = b'{"failed":true}' if result.failed else b"{}"
                self._close(attempt, Verdict(content=failed, reason=result.reason[:64]))
        self._pump()

    def cancel_attempts(self, names: Iterable[str]) -> None:
        """End some attempts; all of them when none is named."""
        chosen = list(names) or list(self._attempts)
        for name in self.window.cancel(chosen):
            self.ended(self._attempts[name], verdicts.cancelled())
        deadline = time.monotonic() + self._settings.cancel_seconds
        for name in chosen:
            attempt = self._attempts.get(name)
            if attempt is None or attempt.cancelling:
                continue
            if not attempt.agent:
                # ctl ends what runs beside it; whether it says so must not matter.
                self.ended(attempt, verdicts.cancelled())
                continue
            self.window.set_deadline(name, deadline)
            self._router.cancel(attempt)
        self._arm()
        self._pump()

    def publish(self, batch: run_pb2.EventBatch) -> None:
        """Take the engine's events."""
        self.events.append(batch, moment=self._now())

    def finish(self, *, exit_status: int, error: str) -> None:
        """The engine has come to its end."""
        state = RunState.FAILED if error else RunState.FINISHED
        self.record = replace(self.record, exit_status=exit_status, error=error[:4096] or self.record.error)
        self._end(state)

    def interrupt(self, reason: str) -> None:
        """Nobody leads the run any more. Nothing happens to one that is at its end."""
        if self._ending is None and self._cancelled is None:
            self.record = replace(self.record, error=reason)
        self._end(RunState.INTERRUPTED)

    def ctl_gone(self) -> None:
        """The call ended. A run that was not finished is interrupted."""
        self.outgoing.close()
        self.interrupt("pybible-ctl went away")

    # --- what others say

    def cancel(self, reason: str, *, state: RunState = RunState.CANCELLED) -> None:
        """End the run: nothing more goes out, what runs is stopped. ctl is told, and has a little time to finish."""
        if self._cancelled is not None or self._over:
            return
        self._cancelled = state
        self.record = replace(self.record, error=reason)
        if state is RunState.CANCELLED:
            # Whoever cancels it is told so: it holds for the controller after this one, too.
            self._history.run(self.record)
        log.info("run is cancelled", extra=fields(run_id=self.run_id, reason=reason))
        self.outgoing.say(run_pb2.ExecuteResponse(cancelled=run_pb2.RunCancelled(reason=reason)))
        self.cancel_attempts(())
        loop = asyncio.get_running_loop()
        self._farewell = loop.call_later(self._settings.farewell_seconds, self._end, state)

    def abandon(self) -> None:
        """End now, without waiting for anything that is out: there will be no later."""
        self.interrupt("the controller ended")
        for attempt in list(self._attempts.values()):
            self.ended(attempt, verdicts.cancelled())

    # --- what sessions say (AttemptOwner)

    def dispatched(self, attempt: Attempt) -> None:
        """It was sent to its agent."""
        self._history.attempt(attempt)
        self._note_work(attempt)
        if attempt.timeout is not None:
            when = time.monotonic() + attempt.timeout + self._settings.deadline_slack
            self.window.set_deadline(attempt.name, when)
            self._arm()

    def progressed(self, attempt: Attempt) -> None:
        """Its state changed on the agent."""
        if attempt.heard_at is None:
            attempt.heard_at = self._now()
        self._history.attempt(attempt)

    def output(self, attempt: Attempt, output: agent_pb2.Output) -> None:
        """The task printed something."""
        if self.terms.live_output:
            self.outgoing.output(attempt.name, output)
        if self.events.is_watched:
            self.events.live(self._live.event(attempt, output), moment=self._now())

    def ended(self, attempt: Attempt, verdict: Verdict) -> None:
        """It has its verdict: the first one counts."""
        if attempt.verdict is not None:
            return
        if verdict.refusal:
            self._note_work(attempt, refusal=verdict.refusal)
        if isinstance(verdict.content, agent_pb2.Attachment) and attempt.spec is not None and attempt.spec.no_log:
            self.brief.add(verdict.content.sha256)
        if verdict.reason and verdict.reason in _TOLD:
            log.warning(
                "an attempt ended without its module's result", extra=fields(**attempt.names, reason=verdict.reason)
            )
        self._close(attempt, verdict)
        self.outgoing.ended(attempt.name, verdict)
        self._pump()

    # --- inside

    def _note(self, action: str, **details: object) -> None:
        """Add something about the run itself to the audit log."""
        self._history.note(
            AuditEntry(
                moment=self._now(),
                actor=self.terms.actor,
                action=action,
                target=self.record.name[:300],
                run_id=self.run_id,
                details=details,
            )
        )

    def _note_work(self, attempt: Attempt, *, refusal: str = "") -> None:
        """Add to the audit log that a task was sent to a host, or was not let go out."""
        spec = attempt.spec
        if spec is not None:
            work = Work(
                actor=self.terms.actor,
                run_id=self.run_id,
                task_id=attempt.task_id,
                module=module_of(spec.module, spec.args)[0],
                become=spec.become.user,
                check=spec.check,
                refusal=refusal,
            )
            self._history.dispatched(work, host=attempt.host, attempt_id=attempt.id)

    def _attempt(self, message: run_pb2.Attempt, batch: run_pb2.AttemptBatch) -> Attempt:
        name = message.attempt_id
        if not name or max(len(name), len(message.host), len(message.agent), len(message.task_id)) > NAME_LENGTH:
            raise ProtocolError("an attempt has no name, or one that is too long")
        if name in self._attempts:
            raise ProtocolError(f"attempt {name!r} was submitted twice")
        spec = _spec(message, batch) if message.agent else None
        if spec is not None and spec.attachments:
            self.brief.update(item.sha256 for item in spec.attachments if item.brief and not item.inline)
        attempt_id = wire_id(self.run_id, name)
        before = self.past.open.get(attempt_id) if self.past is not None else None
        if before is None:
            self._position += 1
        now = self._now()
        return Attempt(
            id=attempt_id,
            name=name,
            run_id=self.run_id,
            task_id=message.task_id,
            host=message.host,
            agent=message.agent,
            position=self._position if before is None else before.position,
            submitted_at=now if before is None else min(now, before.dispatched or now),
            granted_at=before.dispatched if before is not None else None,
            again=message.again and self.past is not None,
            expected_until=self.past.expected_until if self.past is not None else 0.0,
            owner=self,
            spec=spec,
            signature=message.signature if message.HasField("signature") else None,
            timeout=_timeout(spec),
            facts_within=message.facts_within.seconds if spec is not None and spec.module == "setup" else 0.0,
            grace=self.terms.disconnect_grace,
            lost_is_unreachable=self.terms.lost_is_unreachable,
            rights=self.terms.rights,
        )

    def resume(self) -> None:
        """There is room again, at ctl or in the history: go on if that was what the window waited for."""
        if self.window.waiting:
            self._pump()

    def go_on(self) -> None:
        """Its turn has come (TakesTurns)."""
        self._pump()

    def _pump(self) -> None:
        """Send out what the window grants, a slice of it in one turn; what ends at once makes room for more."""
        if self._pumping:
            return
        self._pumping = True
        left = SLICE
        try:
            while left and self._ending is None and not (self.outgoing.is_full or self._history.is_full):
                granted = self.window.grant(left)
                if not granted:
                    break
                left -= len(granted)
                for name in granted:
                    self._go(self._attempts[name])
        finally:
            self._pumping = False
        if not left:
            self._turns.ask(self)
        self._settle()

    def _go(self, attempt: Attempt) -> None:
        attempt.granted_at = attempt.granted_at or self._now()
        if not attempt.agent:
            self.outgoing.started(attempt.name)
            attempt.state = AttemptState.RUNNING
            self._history.attempt(attempt)
            return
        try:
            self._router.dispatch(attempt)
        except Exception as error:
            log.exception("an attempt could not be dispatched", extra=fields(**attempt.names))
            self.ended(attempt, verdicts.internal_error(error))

    def _close(self, attempt: Attempt, verdict: Verdict) -> None:
        attempt.verdict = verdict
        attempt.state = AttemptState.DONE
        attempt.ended_at = self._now()
        self._attempts.pop(attempt.name, None)
        self._live.forget(attempt.name)
        self.window.release(attempt.name)
        self._history.attempt(attempt)

    def _end(self, state: RunState) -> None:
        if self._ending is None:
            self._ending = self._cancelled or state
            self.cancel_attempts(())
        self._settle()

    def _settle(self) -> None:
        """The run is over once it is to end and nothing is out."""
        if self._ending is None or self._attempts or self._over:
            return
        self._over = True
        for timer in (self._timer, self._farewell):
            if timer is not None:
                timer.cancel()
        self.record = replace(self.record, state=self._ending, ended=self._now())
        self._history.run(self.record)
        self._history.recap(self.run_id, self.events.recap.hosts)
        self._note("run.end", state=str(self._ending))
        finished = run_pb2.RunFinished(state=STATES[self._ending], recap=recap_lines(self.events.recap.hosts))
        # Who was told it never asks again: a controller that is killed now must not leave less than that.
        self._history.then(partial(self._say_end, finished))
        self.events.end()
        log.info("run is over", extra=fields(run_id=self.run_id, state=str(self._ending)))
        self._tell(self)

    def _say_end(self, finished: run_pb2.RunFinished) -> None:
        self.outgoing.say(run_pb2.ExecuteResponse(finished=finished))
        self.outgoing.close()

    def _arm(self) -> None:
        """See to it that deadlines are looked at when the first one passes."""
        when = self.window.next_deadline()
        if when is None or when >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = asyncio.get_running_loop().call_later(max(0.0, when - time.monotonic()), self._overdue)

    def _overdue(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        for name in self.window.overdue(time.monotonic()):
            attempt = self._attempts[name]
            self._router.abandon(attempt)
            cancelling = attempt.cancelling or attempt.timeout is None
            self.ended(attempt, verdicts.cancelled() if cancelling else verdicts.timed_out(attempt.timeout or 0.0))
        self._arm()

    def _stored(self, events: int) -> None:
        self.outgoing.say(run_pb2.ExecuteResponse(stored=run_pb2.EventsStored(events=events)))

    def _now(self) -> float:
        return self._wall + time.monotonic()


def recap_lines(hosts: Mapping[str, HostRecap]) -> list[run_pb2.HostRecap]:
    """Return a recap for the wire."""
    return [
        run_pb2.HostRecap(host=host, **{name: getattr(recap, name) for name in COUNTS}) for host, recap in hosts.items()
    ]


def _spec(message: run_pb2.Attempt, batch: run_pb2.AttemptBatch) -> agent_pb2.TaskSpec:
    if message.has_same_as:
        if message.same_as >= len(batch.attempts) or not batch.attempts[message.same_as].HasField("task"):
            raise ProtocolError("an attempt repeats the task of one that has none")
        return batch.attempts[message.same_as].task
    if not message.HasField("task"):
        raise ProtocolError(f"attempt {message.attempt_id!r} has no task")
    return message.task


def _timeout(spec: agent_pb2.TaskSpec | None) -> float | None:
    if spec is None or not spec.HasField("timeout"):
        return None
    return spec.timeout.seconds + spec.timeout.nanos / 1e9 or None
