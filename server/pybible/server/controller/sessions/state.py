"""state: the session of one agent and the attempts that are out on it, as a machine: events in, instructions out.

It knows no stream and no clock: streams are numbers, every event carries the moment (`now`, seconds, monotonic).

OFFLINE -(attach)-> SYNC -(welcome)-> READY -(draining)-> DRAINING
READY | DRAINING -(stream ended | silence)-> SUSPECT -(grace over)-> LOST
SUSPECT | LOST -(attach)-> SYNC
any -(revoked)-> LOST
any -(more than `flips` changes of incarnation a minute, all live)-> QUARANTINED
"""

from __future__ import annotations

from collections.abc import Callable

from pybible.server.controller.sessions import attempts
from pybible.server.controller.sessions.attempts import Attempt, AttemptState, Verdict
from pybible.server.controller.sessions.instructions import (
    Adopt,
    Close,
    CloseStream,
    Decision,
    End,
    Instruction,
    JournalState,
    Opening,
    Reconciled,
    SendCancel,
    SendDispatch,
    SessionState,
)
from pybible.server.controller.sessions.recovery import run_of
from pybible.server.controller.sessions.settings import SessionSettings
from pybible.wire.outcomes import Reason

_NEVER = float("inf")
# How many ended attempts are remembered, for an agent that offers them again.
_REMEMBERED = 256
_ATTACHED = frozenset({SessionState.READY, SessionState.DRAINING})
_NONE: frozenset[str] = frozenset()


class SessionMachine:
    """One agent, as long as the controller runs.

    `out`: attempts that were sent and have no verdict. `held`: attempts that wait for the agent to come back, or for
    one of its slots. An attempt is in one of them from `dispatch` until an End or `finish`.

    Who is slow must not look like who refuses. An attempt that was sent ends without an Accepted only when its agent
    has had time for it by its own clock, which its heartbeats show (`beats`); one that sends none is silent, and away.
    While an agent that is back waits for its welcome, it waits for the controller, and nobody's time runs out.
    """

    __slots__ = (
        "_attached",
        "_awaits",
        "_away_since",
        "_draining",
        "_ended",
        "_flips",
        "_journaled",
        "_known_since",
        "_prolonged",
        "_quarantined_until",
        "_storm",
        "_unbroken",
        "beats",
        "heard_at",
        "held",
        "incarnation",
        "out",
        "settings",
        "slots",
        "state",
        "stream",
    )

    def __init__(
        self,
        *,
        settings: SessionSettings,
        incarnation: str = "",
        since: float = 0.0,
        awaits: Callable[[str], bool] = lambda _attempt_id: False,
        storm: Callable[[float], float] = lambda _now: 0.0,
    ) -> None:
        """`incarnation` is the last one that an earlier controller saw, `since` from when on (seconds since the epoch).

        `awaits` tells whether an attempt belongs to a run of that controller whose ctl may come back, or has.
        `storm` says until when, at least, no time runs out for agents that are away (Storm.until).
        """
        self.settings = settings
        self.state = SessionState.OFFLINE
        self.incarnation = incarnation
        self._known_since = since
        self._awaits = awaits
        self._storm = storm
        # Until when a storm keeps an agent that is away from being lost.
        self._prolonged = 0.0
        # Whether it is still the process that the earlier controller knew: what is not in its journal it never had.
        self._unbroken = bool(incarnation)
        # What an earlier controller sent out, and the journal of the current session told of.
        self._journaled = _NONE
        self.stream = 0
        self.slots = 1
        self.heard_at = 0.0
        # How many heartbeats came, ever. Whoever reads them counts.
        self.beats = 0
        self.out: dict[str, Attempt] = {}
        self.held: dict[str, Attempt] = {}
        self._away_since = 0.0
        self._quarantined_until = 0.0
        self._draining = False
        # The incarnation of the current stream, before its welcome already.
        self._attached = ""
        self._flips: list[float] = []
        self._ended: dict[str, Decision] = {}

    # --- the stream

    def attach(self, stream: int, *, incarnation: str, now: float) -> list[Instruction]:
        """A stream said Hello. It is the agent's stream from now on if `self.stream` says so."""
        if self.state is SessionState.QUARANTINED:
            if now < self._quarantined_until:
                return [CloseStream(stream, Close.QUARANTINED)]
            self._flips.clear()
        done: list[Instruction] = []
        if self.stream:
            if incarnation != self._attached and self._flipped(now):
                return [*self._quarantine(now), CloseStream(stream, Close.QUARANTINED)]
            done.append(CloseStream(self.stream, Close.SUPERSEDED))
        self.stream = stream
        self._attached = incarnation
        self.heard_at = now
        self.state = SessionState.SYNC
        for attempt in (*self.out.values(), *self.held.values()):
            attempt.wait_until = max(attempt.wait_until, now + self.settings.silence)
        return done

    def welcome(self, stream: int, opening: Opening, *, now: float) -> Reconciled | None:
        """The session's epoch is stored: reconcile the journal, make it READY. None when the stream is not current."""
        if stream != self.stream or self.state is not SessionState.SYNC:
            return None
        same = opening.incarnation == self.incarnation
        self._unbroken = self._unbroken and same
        self.incarnation = opening.incarnation
        self.slots = max(1, opening.slots)
        self.heard_at = now
        self._draining = False
        self.state = SessionState.READY
        done: list[Instruction] = []
        journaled = set()
        verdicts = []
        for attempt_id, state in opening.journal:
            journaled.add(attempt_id)
            self._reclaim(attempt_id, done)
            verdicts.append((attempt_id, self._decide(attempt_id, state, same, done)))
        for attempt in [item for item in self.out.values() if item.id not in journaled]:
            self._missing(attempt, same, done, now)
        self._journaled = frozenset(filter(self._awaits, journaled)) or _NONE
        for attempt in [item for item in self.held.values() if item.again and not self._may_send(item)]:
            del self.held[attempt.id]
            done.append(End(attempt, attempts.interrupted(attempt)))
        for attempt in self.held.values():
            attempt.wait_until = _NEVER
        done += self.refill(now)
        return Reconciled(tuple(verdicts), done)

    def awake(self, now: float) -> list[Instruction]:
        """The current stream said something. Call it when `state` is SUSPECT; else setting `heard_at` is enough."""
        self.heard_at = now
        if self.state is not SessionState.SUSPECT or not self.stream:
            return []
        self.state = SessionState.DRAINING if self._draining else SessionState.READY
        for attempt in self.out.values():
            if attempt.state is AttemptState.DISPATCHED:
                self._await_accepted(attempt, now)
            else:
                attempt.wait_until = _NEVER
        for attempt in self.held.values():
            attempt.wait_until = _NEVER
        return self.refill(now)

    def draining(self) -> list[Instruction]:
        """The agent takes nothing new."""
        if self.state is not SessionState.READY:
            return []
        self._draining = True
        self.state = SessionState.DRAINING
        return self._refuse_held()

    def stream_ended(self, stream: int, *, now: float, goodbye: bool = False) -> list[Instruction]:
        """A stream is over. `goodbye`: the agent said so before."""
        if stream != self.stream:
            return []
        self.stream = 0
        if self.state is SessionState.QUARANTINED:
            return []
        if goodbye and not self.out and not self.held:
            self.state = SessionState.OFFLINE
            return []
        if self.state is SessionState.SUSPECT:
            return []
        return self._suspect(now)

    def revoked(self) -> list[Instruction]:
        """The agent is shut out: its stream counts no more, and nobody waits for what it had to do."""
        self.stream = 0
        self.state = SessionState.LOST
        out = list(self.out.values())
        self.out.clear()
        return [*self._refuse_held(), *(End(attempt, attempts.lost(attempt, "revoked")) for attempt in out)]

    # --- attempts

    def dispatch(self, attempt: Attempt, *, now: float) -> list[Instruction]:
        """A run gives an attempt its slot: send it, hold it, or end it."""
        match self.state:
            case SessionState.READY:
                if attempt.again and not self._may_send(attempt):
                    return [End(attempt, attempts.interrupted(attempt))]
                if len(self.out) < self.slots:
                    return [self._send(attempt, now)]
                attempt.wait_until = _NEVER
            case SessionState.DRAINING if attempt.again and attempt.id in self._journaled:
                return [self._send(attempt, now)]
            case SessionState.SYNC:
                attempt.wait_until = max(now + self.settings.silence, attempt.expected_until)
            case _ if now < (until := self._expected(attempt, now)):
                attempt.wait_until = until
            case _:
                return [End(attempt, self._absent(attempt))]
        self.held[attempt.id] = attempt
        return []

    def accepted(self, attempt_id: str) -> Attempt | None:
        """The agent has it in its journal. Return the attempt if that is news."""
        attempt = self.out.get(attempt_id)
        if attempt is None or attempt.state is not AttemptState.DISPATCHED:
            return None
        attempt.state = AttemptState.ACCEPTED
        attempt.wait_until = _NEVER
        return attempt

    def started(self, attempt_id: str) -> Attempt | None:
        """A worker has begun. Return the attempt if that is news."""
        attempt = self.out.get(attempt_id)
        if attempt is None or attempt.state is AttemptState.RUNNING:
            return None
        attempt.state = AttemptState.RUNNING
        attempt.wait_until = _NEVER
        return attempt

    def finish(self, attempt_id: str) -> Attempt | None:
        """A result came (or a refusal). Return its attempt if it is still open: then this is its end."""
        attempt = self.out.pop(attempt_id, None)
        if attempt is not None:
            self._remember(attempt_id, Decision.DROP)
        return attempt

    def acknowledged(self, attempt_id: str) -> None:
        """Its result is stored, and the agent is told so. If that gets lost it sends the result again, for nothing."""
        if self._ended.get(attempt_id) is Decision.DROP:
            del self._ended[attempt_id]

    def refill(self, now: float) -> list[Instruction]:
        """Send what waits for a slot of the agent, as far as there are any."""
        done: list[Instruction] = []
        while self.held and self.state is SessionState.READY and len(self.out) < self.slots:
            attempt_id = next(iter(self.held))
            done.append(self._send(self.held.pop(attempt_id), now))
        return done

    def cancel(self, attempt: Attempt) -> list[Instruction]:
        """A run wants an attempt to end. What is out ends with its result; the run sets a deadline for that."""
        if self.held.pop(attempt.id, None) is not None:
            if attempt.again:
                self._remember(attempt.id, Decision.CANCEL)
            return [End(attempt, attempts.cancelled())]
        if attempt.id not in self.out or attempt.cancelling:
            return []
        attempt.cancelling = True
        return [SendCancel(attempt.id)] if self.state in _ATTACHED else []

    def abandon(self, attempt: Attempt, *, now: float) -> list[Instruction]:
        """A run gave an attempt its verdict by itself (a deadline): stop it."""
        if self.held.pop(attempt.id, None) is not None:
            if attempt.again:
                self._remember(attempt.id, Decision.CANCEL)
            return []
        if self.out.pop(attempt.id, None) is None:
            return []
        self._remember(attempt.id, Decision.CANCEL)
        done: list[Instruction] = [SendCancel(attempt.id)] if self.state in _ATTACHED else []
        return done + self.refill(now)

    def give_up(self, run_id: str) -> list[Instruction]:
        """A run of an earlier controller is over: what the agent still has of it is stopped."""
        gone = {attempt_id for attempt_id in self._journaled if run_of(attempt_id) == run_id}
        if not gone:
            return []
        self._journaled = self._journaled - gone or _NONE
        if self.state not in _ATTACHED:
            return []
        return [SendCancel(attempt_id) for attempt_id in sorted(gone - self.out.keys())]

    # --- time

    def next_due(self) -> float:
        """Return the moment for the next `tick`; infinity for never."""
        due = min((item.wait_until for item in self.out.values()), default=_NEVER)
        due = min(due, min((item.wait_until for item in self.held.values()), default=_NEVER))
        if self.state in _ATTACHED:
            due = min(due, self.heard_at + self.settings.silence)
        if self.state is SessionState.SUSPECT:
            due = min(due, self._lost_at)
        return due

    def tick(self, now: float) -> list[Instruction]:
        """Time has passed."""
        done: list[Instruction] = []
        if self.state in _ATTACHED and now >= self.heard_at + self.settings.silence:
            done += self._suspect(now)
        self._prolong(now)
        done += self._expire(now)
        if self.state is SessionState.SUSPECT and now >= self._lost_at:
            self.state = SessionState.LOST
            if self.stream:
                done.append(CloseStream(self.stream, Close.SILENT))
                self.stream = 0
        return done + self.refill(now)

    # --- inside

    @property
    def _lost_at(self) -> float:
        return max(self._away_since + self.settings.disconnect_grace, self._prolonged)

    def _prolong(self, now: float) -> None:
        """While a storm lasts no time runs out: whoever is waited for may be in the queue. A grace of 0 is strict."""
        until = self._storm(now)
        if until <= now:
            return
        if self.settings.disconnect_grace:
            self._prolonged = until
        for attempt in (*self.out.values(), *self.held.values()):
            if attempt.grace and attempt.wait_until <= now:
                attempt.wait_until = until

    def _send(self, attempt: Attempt, now: float) -> SendDispatch:
        attempt.state = AttemptState.DISPATCHED
        self._await_accepted(attempt, now)
        self.out[attempt.id] = attempt
        return SendDispatch(attempt)

    def _await_accepted(self, attempt: Attempt, now: float) -> None:
        attempt.wait_until = now + self.settings.accept_timeout
        attempt.beats_due = self.beats + self.settings.accept_heartbeats
        attempt.looks = 0

    def _suspect(self, now: float) -> list[Instruction]:
        self.state = SessionState.SUSPECT
        self._away_since = now
        for attempt in (*self.out.values(), *self.held.values()):
            attempt.wait_until = max(now + attempt.grace, attempt.expected_until)
        return self._expire(now)

    def _expire(self, now: float) -> list[Instruction]:
        """End what has waited long enough."""
        done: list[Instruction] = []
        for attempt in [item for item in self.held.values() if item.wait_until <= now]:
            del self.held[attempt.id]
            if attempt.again:
                # It may have been out for long, and still run.
                self._remember(attempt.id, Decision.ADOPT)
            done.append(End(attempt, attempts.lost(attempt) if attempt.again else self._absent(attempt)))
        for attempt in [item for item in self.out.values() if item.wait_until <= now]:
            if self.state not in _ATTACHED or attempt.has_had_time(self.beats):
                done += self._expired(attempt)
            else:
                attempt.wait_until = now + self.settings.accept_timeout
        return done

    def _expired(self, attempt: Attempt) -> list[Instruction]:
        del self.out[attempt.id]
        if self.state in _ATTACHED:
            self._remember(attempt.id, Decision.CANCEL)
            verdict = attempts.accept_timeout(attempt, self.settings.accept_timeout)
            return [SendCancel(attempt.id), End(attempt, verdict)]
        # It may still run, and is left to: its result is worth having in the history.
        self._remember(attempt.id, Decision.CANCEL if attempt.cancelling else Decision.ADOPT)
        return [End(attempt, attempts.cancelled() if attempt.cancelling else attempts.lost(attempt))]

    def _decide(self, attempt_id: str, state: JournalState, same: bool, done: list[Instruction]) -> Decision:
        """Return what becomes of one entry of the journal."""
        attempt = self.out.get(attempt_id)
        if attempt is None:
            known = self._ended.get(attempt_id)
            if state is JournalState.RUNNING:
                if known is None and self._awaits(attempt_id):
                    return Decision.ADOPT
                return known if known is Decision.ADOPT else Decision.CANCEL
            if state is JournalState.FINISHED:
                return Decision.DROP if known is Decision.DROP else Decision.ADOPT
            return Decision.DROP
        if state is JournalState.FINISHED:
            attempt.wait_until = _NEVER
            attempt.state = AttemptState.RUNNING
            return Decision.ADOPT
        # What an earlier controller sent out was accepted by whoever runs it.
        if state is JournalState.RUNNING and (same or attempt.again):
            attempt.wait_until = _NEVER
            attempt.state = AttemptState.RUNNING
            return Decision.CANCEL if attempt.cancelling else Decision.ADOPT
        self._interrupt(attempt, done)
        return Decision.CANCEL if state is JournalState.RUNNING else Decision.DROP

    def _missing(self, attempt: Attempt, same: bool, done: list[Instruction], now: float) -> None:
        """An attempt was sent, and the agent's journal had no trace of it when it said hello."""
        if not same:
            self._interrupt(attempt, done)
        elif attempt.cancelling and attempt.state is AttemptState.DISPATCHED:
            del self.out[attempt.id]
            done.append(End(attempt, attempts.cancelled()))
        else:
            # The same process never saw it, or came to see it on the stream before, after its hello on this one. Sent
            # again it is run, or answered from the journal.
            done.append(self._send(attempt, now))
            if attempt.cancelling:
                done.append(SendCancel(attempt.id))

    def _reclaim(self, attempt_id: str, done: list[Instruction]) -> None:
        """The agent has had an attempt that waits for it since before the controller was started: it is out."""
        attempt = self.held.get(attempt_id)
        if attempt is None or not attempt.again:
            return
        self.out[attempt_id] = self.held.pop(attempt_id)
        attempt.state = AttemptState.DISPATCHED
        done.append(Adopt(attempt))

    def _may_send(self, attempt: Attempt) -> bool:
        """Whether an attempt that may have been out before is answered from the journal, or was never run."""
        if attempt.id in self._journaled:
            return True
        # A result that an earlier controller had is still with the process that gave it, not with another one.
        return self._unbroken and (attempt.resulted_at is None or attempt.resulted_at > self._known_since)

    def _expected(self, attempt: Attempt, now: float) -> float:
        """Return until when an attempt may wait for the agent, which is away."""
        match self.state:
            case SessionState.SUSPECT:
                storm = self._storm(now) if attempt.grace else 0.0
                return max(self._away_since + attempt.grace, attempt.expected_until, storm)
            case SessionState.LOST:
                return attempt.expected_until
            case SessionState.OFFLINE if not self._attached:
                return attempt.expected_until
        return 0.0

    def _interrupt(self, attempt: Attempt, done: list[Instruction]) -> None:
        del self.out[attempt.id]
        self._remember(attempt.id, Decision.CANCEL)
        done.append(End(attempt, attempts.interrupted(attempt)))

    def _absent(self, attempt: Attempt) -> Verdict:
        if self.state is SessionState.QUARANTINED:
            text = f"agent '{attempt.agent}' is quarantined: two hosts use its identity"
            return attempts.unreachable(Reason.NOT_CONNECTED, text)
        if self.state is SessionState.DRAINING:
            text = f"agent '{attempt.agent}' is draining and takes no new tasks"
            return attempts.unreachable(Reason.NOT_CONNECTED, text)
        return attempts.not_connected(attempt.agent)

    def _refuse_held(self) -> list[Instruction]:
        held = list(self.held.values())
        self.held.clear()
        return [End(attempt, self._absent(attempt)) for attempt in held]

    def _flipped(self, now: float) -> bool:
        """Count a change of incarnation under a live stream; say whether there were too many."""
        self._flips.append(now)
        while self._flips[0] <= now - self.settings.flip_period:
            del self._flips[0]
        return len(self._flips) > self.settings.flips

    def _quarantine(self, now: float) -> list[Instruction]:
        stream, self.stream = self.stream, 0
        done = self._suspect(now)
        self.state = SessionState.QUARANTINED
        self._quarantined_until = now + self.settings.quarantine
        return [*done, *self._refuse_held(), CloseStream(stream, Close.QUARANTINED)]

    def _remember(self, attempt_id: str, decision: Decision) -> None:
        self._ended[attempt_id] = decision
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]
