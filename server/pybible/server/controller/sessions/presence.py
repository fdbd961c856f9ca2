"""presence: one agent as the controller knows it, for as long as the controller runs: its machine, timer and stream."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pybible.server.controller.sessions.attempts import Attempt, Verdict, internal_error
from pybible.server.controller.sessions.facts import HostFacts, PushedFacts
from pybible.server.controller.sessions.instructions import (
    Adopt,
    Close,
    CloseStream,
    End,
    Instruction,
    SendCancel,
    SendDispatch,
    SessionState,
)
from pybible.server.controller.sessions.refusal import AgentDetails, refusal
from pybible.server.controller.sessions.settings import SessionSettings
from pybible.server.controller.sessions.state import SessionMachine
from pybible.server.controller.sessions.storm import Storm
from pybible.v1 import agent_pb2
from pybible.wire import faults
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

Clock = Callable[[], float]

# A timer that comes later than this says that the loop was busy; and for how long that may put off a deadline. Seconds.
_LATE = 0.1
_LATEST = 60.0


class Stream(Protocol):
    """A live stream of the agent, as far as its presence needs one. Nothing here waits."""

    def send_dispatch(self, attempt: Attempt) -> None:
        """Queue a Dispatch."""

    def send_cancel(self, attempt_id: str) -> None:
        """Queue a Cancel."""

    def send_renewal(self) -> None:
        """Queue a RenewCertificate."""

    def end(self, why: Close) -> None:
        """Say why, and end the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """A view of an agent at one moment, for listings. `since` in seconds since the epoch."""

    agent_id: str
    name: str
    state: SessionState
    since: float
    incarnation: str
    slots: int
    running: int
    load: float
    details: AgentDetails


class AgentPresence:
    """Joins the session machine of one agent with the world: carries out its instructions and keeps its timer."""

    __slots__ = (
        "_clock",
        "_context",
        "_due",
        "_not_before",
        "_since",
        "_state",
        "_storm",
        "_streams",
        "_timer",
        "agent_id",
        "details",
        "facts",
        "has_come",
        "load",
        "machine",
        "name",
    )

    def __init__(
        self,
        agent_id: str,
        *,
        settings: SessionSettings,
        clock: Clock,
        incarnation: str = "",
        since: float = 0.0,
        awaits: Callable[[str], bool] = lambda _attempt_id: False,
        storm: Storm | None = None,
    ) -> None:
        """`incarnation`, `since`, `awaits`: as the machine has them. `storm` is that of all agents."""
        self.agent_id = agent_id
        self.name = ""
        self._storm = storm or Storm()
        self.machine = SessionMachine(
            settings=settings, incarnation=incarnation, since=since, awaits=awaits, storm=self._storm.until
        )
        self.details = AgentDetails()
        # Set with its first session: before, it is only expected, and of its details not all is known.
        self.has_come = False
        self.load = 0.0
        self.facts = HostFacts()
        self._clock = clock
        self._context = contextvars.Context()
        self._state = self.machine.state
        self._since = time.time()
        self._streams: dict[int, Stream] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")
        # Deadlines that passed while the controller was busy wait until then.
        self._not_before = 0.0

    @property
    def status(self) -> AgentStatus:
        """The agent as it is now."""
        machine = self.machine
        return AgentStatus(
            agent_id=self.agent_id,
            name=self.name,
            state=machine.state,
            since=self._since,
            incarnation=machine.incarnation,
            slots=machine.slots,
            running=len(machine.out),
            load=self.load,
            details=self.details,
        )

    @property
    def since(self) -> float:
        """When the state was entered, in seconds since the epoch."""
        return self._since

    @property
    def attached(self) -> bool:
        """Whether it has a live session."""
        return self.machine.state in {SessionState.READY, SessionState.DRAINING}

    def add_stream(self, number: int, stream: Stream) -> None:
        """Make a stream known, before its attach."""
        self._streams[number] = stream

    def remove_stream(self, number: int, *, goodbye: bool) -> None:
        """A stream is over."""
        if self._streams.pop(number, None) is not None:
            self.perform(self.machine.stream_ended(number, now=self._clock(), goodbye=goodbye))

    def dispatch(self, attempt: Attempt) -> None:
        """Send an attempt, hold it, or end it."""
        now = self._clock()
        if attempt.may_change_host:
            self.facts.doubt()
        instructions = self.machine.dispatch(attempt, now=now)
        if attempt.wait_until < self._due:
            self._arm(attempt.wait_until)
        self._carry_out(instructions)

    def facts_for(self, attempt: Attempt) -> PushedFacts | None:
        """Return the facts that answer an attempt which asks for them, None when it has to be run."""
        if not attempt.facts_within or attempt.spec is None or self.machine.state is not SessionState.READY:
            return None
        return self.facts.fresh(within=attempt.facts_within, user=attempt.spec.become.user, now=self._clock())

    def take_facts(self, message: agent_pb2.FactsChanged) -> PushedFacts:
        """Keep what the agent says of its host. ProtocolError when it is out of bounds."""
        out = (*self.machine.out.values(), *self.machine.held.values())
        return self.facts.take(message, now=self._clock(), holds=not any(each.may_change_host for each in out))

    def age_of(self, facts: PushedFacts) -> float:
        """Return how old they are, seconds."""
        return max(0.0, self._clock() - facts.gathered)

    def cancel(self, attempt: Attempt) -> None:
        """Ask for the end of an attempt."""
        self._carry_out(self.machine.cancel(attempt))

    def abandon(self, attempt: Attempt) -> None:
        """Stop an attempt that has its verdict."""
        self.perform(self.machine.abandon(attempt, now=self._clock()))

    def give_up(self, run_id: str) -> None:
        """Stop what the agent has of a run of an earlier controller."""
        self._carry_out(self.machine.give_up(run_id))

    def refill(self) -> None:
        """A slot of the agent is free."""
        if self.machine.held:
            self.perform(self.machine.refill(self._clock()))

    def ask_to_renew(self) -> bool:
        """Ask the agent for a new certificate. False: it is not attached."""
        stream = self._streams.get(self.machine.stream)
        if stream is None or not self.attached:
            return False
        stream.send_renewal()
        return True

    def end_streams(self, why: Close) -> None:
        """End every stream of this agent."""
        for stream in list(self._streams.values()):
            stream.end(why)

    def end(self, attempt: Attempt, verdict: Verdict) -> None:
        """Tell the run of an attempt how it ended."""
        try:
            attempt.owner.ended(attempt, verdict)
        except Exception:
            log.exception("a run could not take a verdict", extra=fields(**attempt.names))

    def perform(self, instructions: list[Instruction]) -> None:
        """Carry out what the machine wants, after any event that may have changed its state or its times."""
        if self.machine.state is not self._state:
            self._note_state()
        self._carry_out(instructions)
        self._arm(self.machine.next_due())

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case SendDispatch(attempt):
                    self._send(attempt)
                case Adopt(attempt):
                    attempt.output_left = attempt.spec.output_limit if attempt.spec is not None else 0
                    attempt.owner.dispatched(attempt)
                case End(attempt, verdict):
                    self.end(attempt, verdict)
                case SendCancel(attempt_id):
                    stream = self._streams.get(self.machine.stream)
                    if stream is not None:
                        stream.send_cancel(attempt_id)
                case CloseStream(number, why):
                    stream = self._streams.get(number)
                    if stream is not None:
                        stream.end(why)

    def _send(self, attempt: Attempt) -> None:
        faults.at("before_dispatch")
        if attempt.unchecked and (refused := refusal(attempt, self.name, self.details)):
            self.machine.finish(attempt.id)
            self.end(attempt, refused)
            return
        try:
            self._streams[self.machine.stream].send_dispatch(attempt)
            attempt.owner.dispatched(attempt)
        except Exception as error:
            log.exception("dispatch failed", extra=fields(**attempt.names))
            if self.machine.finish(attempt.id) is not None:
                self.end(attempt, internal_error(error))

    def _note_state(self) -> None:
        before, self._state = self._state, self.machine.state
        if self._storm.moved(before, self._state, now=self._clock()):
            log.warning("many agents left at once", extra=fields(away=self._storm.away))
        self._since = time.time()
        level = logging.WARNING if self._state in _NOTEWORTHY else logging.INFO
        # Before an agent's first session is agreed its name is not known here.
        known = {"name": self.name} if self.name else {}
        extra = fields(agent_id=self.agent_id, **known, before=str(before), state=str(self._state))
        log.log(level, "agent changed state", extra=extra)

    def _arm(self, when: float) -> None:
        """See to it that `tick` is called at `when` (on the loop's clock), or earlier."""
        when = max(when, self._not_before)
        if self._timer is not None:
            if when >= self._due:
                return
            self._timer.cancel()
        self._due = when
        if when == float("inf"):
            self._timer = None
            return
        loop = asyncio.get_running_loop()
        # Not in the context of whoever asks: its run would be named in what this agent's timer logs.
        delay = max(0.0, when - self._clock())
        self._timer = loop.call_later(delay, self._tick, context=self._context)

    def _tick(self) -> None:
        self._timer = None
        due, self._due = self._due, float("inf")
        now = self._clock()
        deadline = self.machine.next_due()
        # Most ticks only find that a deadline has moved on.
        if deadline > now:
            self._arm(deadline)
            return
        late = now - due
        if late > _LATE and now - deadline < _LATEST:
            # No host is to answer for a loop that was busy: what agents said meanwhile waits to be read, and is read
            # first, in as much time as was missing.
            self._not_before = now + late
            self._arm(deadline)
            return
        self.perform(self.machine.tick(now))


_NOTEWORTHY = frozenset({SessionState.SUSPECT, SessionState.LOST, SessionState.QUARANTINED})
