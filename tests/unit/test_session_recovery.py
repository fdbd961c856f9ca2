"""test_session_recovery: what a controller that was started again makes of what an earlier one had sent out."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pybible.server.controller.sessions.attempts import Attempt, AttemptState
from pybible.server.controller.sessions.instructions import (
    Adopt,
    CloseStream,
    Decision,
    End,
    Instruction,
    JournalState,
    Opening,
    SendCancel,
    SendDispatch,
)
from pybible.server.controller.sessions.recovery import Recovery, run_of
from pybible.server.controller.sessions.state import SessionMachine
from tests.support.session_machine import validate
from tests.unit.test_session_machine import SETTINGS, ends, make, sent

RUN = "01a20e62-712b-7ce2-8e90-ec8686eb3701"
NAME = f"{RUN}.1"
WINDOW = 60.0


def again(name: str = NAME, *, expected_until: float = WINDOW, grace: float = 15.0) -> Attempt:
    attempt = make(name, grace=grace)
    attempt.again, attempt.expected_until = True, expected_until
    return attempt


def restarted(*, incarnation: str = "one", awaits: bool = True) -> SessionMachine:
    return SessionMachine(settings=SETTINGS, incarnation=incarnation, awaits=lambda _attempt_id: awaits)


def back(machine: SessionMachine, *journal: tuple[str, JournalState], incarnation: str = "one") -> list[Instruction]:
    """Let the agent come; return what is done, the verdicts being those of `decisions`."""
    machine.attach(1, incarnation=incarnation, now=1)
    reconciled = machine.welcome(1, Opening(incarnation, 10, journal), now=1)
    assert reconciled is not None
    validate(machine)
    return reconciled.instructions


@pytest.mark.parametrize(
    ("state", "awaits", "decision"),
    [
        (JournalState.RUNNING, True, Decision.ADOPT),
        (JournalState.FINISHED, True, Decision.ADOPT),
        (JournalState.INTERRUPTED, True, Decision.DROP),
        (JournalState.RUNNING, False, Decision.CANCEL),
        (JournalState.FINISHED, False, Decision.ADOPT),
    ],
)
def test_what_runs_for_a_run_that_may_go_on_is_left_to(state: JournalState, awaits: bool, decision: Decision) -> None:
    machine = restarted(awaits=awaits)
    machine.attach(1, incarnation="one", now=0)
    reconciled = machine.welcome(1, Opening("one", 1, ((NAME, state),)), now=0)
    assert reconciled is not None
    assert reconciled.verdicts == ((NAME, decision),)


@pytest.mark.parametrize(
    ("stored", "journal", "outcome"),
    [
        # The same process: it never had the attempt, or it answers from its journal.
        ("one", (), "sent"),
        ("one", ((NAME, JournalState.RUNNING),), "sent"),
        # Another one: its journal was written by the one before, or lost with its host.
        ("zero", ((NAME, JournalState.INTERRUPTED),), "sent"),
        ("zero", ((NAME, JournalState.FINISHED),), "sent"),
        ("zero", (), "interrupted"),
        ("", (), "interrupted"),
    ],
)
def test_an_attempt_is_sent_again_only_where_it_can_not_run_twice(
    stored: str, journal: tuple[tuple[str, JournalState], ...], outcome: str
) -> None:
    machine = restarted(incarnation=stored)
    back(machine, *journal)
    done = machine.dispatch(again(), now=2)
    assert (sent(done), ends(done)) == (([NAME], {}) if outcome == "sent" else ([], {NAME: "interrupted"}))


@pytest.mark.parametrize(
    ("stored", "journal", "adopted", "dispatched", "ended"),
    [
        ("one", ((NAME, JournalState.RUNNING),), [NAME], [], {}),
        ("one", ((NAME, JournalState.FINISHED),), [NAME], [], {}),
        ("zero", ((NAME, JournalState.FINISHED),), [NAME], [], {}),
        ("zero", ((NAME, JournalState.INTERRUPTED),), [NAME], [], {NAME: "interrupted"}),
        ("one", (), [], [NAME], {}),
        ("zero", (), [], [], {NAME: "interrupted"}),
    ],
)
def test_an_attempt_that_waited_for_its_agent_is_taken_up_where_it_is(
    stored: str,
    journal: tuple[tuple[str, JournalState], ...],
    adopted: list[str],
    dispatched: list[str],
    ended: dict[str, str],
) -> None:
    machine = restarted(incarnation=stored)
    assert machine.dispatch(again(), now=0) == []
    done = back(machine, *journal)
    assert [item.attempt.id for item in done if isinstance(item, Adopt)] == adopted
    assert (sent(done), ends(done)) == (dispatched, ended)


def test_an_agent_that_does_not_come_back_is_waited_for_until_the_window_is_over() -> None:
    machine = restarted()
    fresh = make("new")
    fresh.expected_until = WINDOW
    assert machine.dispatch(again(), now=0) == []
    assert machine.dispatch(fresh, now=1) == []
    assert ends(machine.dispatch(make("of another run"), now=1)) == {"of another run": "not_connected"}
    assert machine.next_due() == WINDOW
    assert ends(machine.tick(WINDOW)) == {NAME: "lost_mid_task", "new": "not_connected"}
    # It may run still, and its result is worth having.
    machine.attach(1, incarnation="one", now=WINDOW + 1)
    reconciled = machine.welcome(1, Opening("one", 1, ((NAME, JournalState.RUNNING),)), now=WINDOW + 1)
    assert reconciled is not None
    assert reconciled.verdicts == ((NAME, Decision.ADOPT),)


def test_what_was_cancelled_while_its_agent_was_away_is_cancelled_when_it_comes() -> None:
    machine = restarted()
    attempt = again()
    machine.dispatch(attempt, now=0)
    assert ends(machine.cancel(attempt)) == {NAME: "cancelled"}
    machine.attach(1, incarnation="one", now=1)
    reconciled = machine.welcome(1, Opening("one", 1, ((NAME, JournalState.RUNNING),)), now=1)
    assert reconciled is not None
    assert reconciled.verdicts == ((NAME, Decision.CANCEL),)


def test_a_run_that_is_given_up_ends_what_agents_do_for_it() -> None:
    machine = restarted()
    other = NAME.replace("3701.1", "3702.1")
    back(machine, (NAME, JournalState.RUNNING), (other, JournalState.RUNNING))
    assert machine.give_up(RUN) == [SendCancel(NAME)]
    assert machine.give_up(RUN) == []


def test_a_draining_agent_still_answers_for_what_it_has() -> None:
    machine = restarted()
    back(machine, (NAME, JournalState.RUNNING))
    machine.draining()
    assert sent(machine.dispatch(again(), now=2)) == [NAME]
    assert ends(machine.dispatch(again(f"{RUN}.2"), now=2)) == {f"{RUN}.2": "not_connected"}


def test_results_are_put_off_until_their_run_is_over_or_ctl_knows_them() -> None:
    recovery, done = Recovery(), []
    recovery.begin(RUN)
    assert recovery.keep(NAME, lambda: done.append("first"))
    assert recovery.keep(f"{RUN}.2", lambda: done.append("second"))
    assert not recovery.keep("another", lambda: done.append("never"))
    recovery.known(NAME)
    assert done == ["first"]
    recovery.over(RUN)
    assert done == ["first", "second"]
    assert run_of(NAME) == RUN
    assert not recovery.awaits(NAME)


@dataclass(slots=True)
class Host:
    """An agent's process and its journal. `heard`: results that were acknowledged, and are kept for who asks again."""

    incarnation: int = 1
    journal: dict[str, JournalState] = field(default_factory=dict)
    heard: set[str] = field(default_factory=set)
    inbox: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)


class RestartedWorld(RuleBasedStateMachine):
    """Controllers that die at any moment, one after the other; ctl, which knows what has no end; and a host."""

    @initialize(slots=st.integers(1, 3))
    def begin(self, slots: int) -> None:
        self.host, self.slots = Host(), slots
        self.now, self.streams, self.number = 0.0, 0, 0
        self.stored, self.since = "", 0.0
        # What the controller has not written yet: which process is attached and since when, and the ends it knows.
        self.attached: tuple[str, float] | None = None
        self.unwritten: dict[str, tuple[str, float]] = {}
        # The ends in its store: why, and when.
        self.rows: dict[str, tuple[str, float]] = {}
        self.connected = False
        # Attempts that ctl has not submitted to the present controller, in their order.
        self.unsaid: list[str] = []
        self.open: dict[str, Attempt] = {}
        self.verdicts: dict[str, str] = {}
        self.machine = SessionMachine(settings=SETTINGS)

    def perform(self, instructions: list[Instruction]) -> None:
        for item in instructions:
            match item:
                case SendDispatch(attempt):
                    assert self.connected
                    self.host.inbox.append(attempt.id)
                case End(attempt, verdict):
                    self.end(attempt.id, verdict.reason)
                case CloseStream(stream, _why):
                    if stream == self.streams:
                        self.connected = False

    def end(self, name: str, reason: str) -> None:
        assert name not in self.verdicts, "a second verdict"
        self.verdicts[name] = reason
        self.unwritten[name] = (reason, self.now)
        self.open.pop(name, None)

    @rule()
    def dispatch(self) -> None:
        self.number += 1
        name = f"{RUN}.{self.number}"
        if self.unsaid:
            self.unsaid.append(name)
            return
        attempt = self.open[name] = make(name)
        self.perform(self.machine.dispatch(attempt, now=self.now))

    @rule(how=st.sampled_from(["same", "restart", "crash"]))
    def connect(self, how: str) -> None:
        host = self.host
        host.inbox.clear()
        if how != "same":
            host.incarnation += 1
            for name, state in host.journal.items():
                if state is JournalState.RUNNING:
                    host.journal[name] = JournalState.INTERRUPTED
        if how == "crash":
            host.journal.clear()
            host.heard.clear()
        self.streams += 1
        self.now += 0.1
        self.connected = True
        incarnation = str(host.incarnation)
        self.perform(self.machine.attach(self.streams, incarnation=incarnation, now=self.now))
        if not self.connected:
            return
        opening = Opening(incarnation, self.slots, tuple(host.journal.items()))
        reconciled = self.machine.welcome(self.streams, opening, now=self.now)
        assert reconciled is not None
        self.perform(reconciled.instructions)
        self.attached = (incarnation, self.now)
        for name, decision in reconciled.verdicts:
            if decision is Decision.CANCEL and host.journal[name] is JournalState.RUNNING:
                assert name in self.verdicts, "ended, although somebody waits for it"
                host.journal[name] = JournalState.FINISHED
            elif decision is Decision.DROP:
                del host.journal[name]
                host.heard.add(name)

    @precondition(lambda self: self.connected)
    @rule()
    def disconnect(self) -> None:
        self.connected = False
        self.host.inbox.clear()
        self.perform(self.machine.stream_ended(self.streams, now=self.now))

    @rule()
    def the_controller_writes(self) -> None:
        self.rows |= self.unwritten
        self.unwritten.clear()
        if self.attached is not None and self.attached[0] != self.stored:
            self.stored, self.since = self.attached

    @rule(unheard=st.sets(st.integers(1, 9)))
    def the_controller_is_killed(self, unheard: set[int]) -> None:
        """What it knew last, ctl may not have heard, and it may not have written it down."""
        self.unwritten.clear()
        self.attached = None
        self.connected = False
        self.host.inbox.clear()
        for number in unheard:
            self.verdicts.pop(f"{RUN}.{number}", None)
        self.machine = SessionMachine(
            settings=SETTINGS, incarnation=self.stored, since=self.since, awaits=lambda _attempt_id: True
        )
        self.open.clear()
        names = [f"{RUN}.{number}" for number in range(1, self.number + 1)]
        self.unsaid = [name for name in names if name not in self.verdicts]

    @precondition(lambda self: self.unsaid)
    @rule()
    def ctl_is_back(self) -> None:
        names, self.unsaid = self.unsaid, []
        for name in names:
            reason, ended = self.rows.get(name, ("", None))
            if reason:
                self.end(name, reason)
                continue
            attempt = self.open[name] = again(name, expected_until=self.now + WINDOW)
            attempt.resulted_at = ended
            self.perform(self.machine.dispatch(attempt, now=self.now))

    @precondition(lambda self: self.connected and self.host.inbox)
    @rule()
    def the_host_takes_a_task(self) -> None:
        host, name = self.host, self.host.inbox.pop(0)
        self.machine.heard_at = self.now
        if name in host.heard or host.journal.get(name, JournalState.RUNNING) is not JournalState.RUNNING:
            self.answer(name)
            return
        if name not in host.journal:
            assert name not in host.started, "run a second time"
            host.started.append(name)
            host.journal[name] = JournalState.RUNNING
        self.machine.accepted(name)

    def answer(self, name: str) -> None:
        if self.machine.finish(name) is not None:
            self.end(name, "")
        self.perform(self.machine.refill(self.now))

    @rule(data=st.data())
    def a_task_ends(self, data: st.DataObject) -> None:
        running = [name for name, state in self.host.journal.items() if state is JournalState.RUNNING]
        if running:
            self.host.journal[data.draw(st.sampled_from(running))] = JournalState.FINISHED

    @precondition(lambda self: self.connected)
    @rule()
    def the_host_sends_its_results(self) -> None:
        self.machine.heard_at = self.now
        for name in [name for name, state in self.host.journal.items() if state is JournalState.FINISHED]:
            if name not in self.unsaid:
                self.answer(name)
                del self.host.journal[name]
                self.host.heard.add(name)

    @invariant()
    def holds_together(self) -> None:
        if hasattr(self, "machine"):
            validate(self.machine)
            assert self.open.keys() == self.machine.out.keys() | self.machine.held.keys(), "an attempt is lost, or kept"

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        if self.unsaid:
            self.ctl_is_back()
        if self.connected:
            self.disconnect()
        while (due := self.machine.next_due()) < float("inf"):
            self.now = max(self.now, due)
            self.perform(self.machine.tick(self.now))
        assert not self.open
        assert len(self.verdicts) == self.number
        assert all(item.state is not AttemptState.PENDING for item in self.machine.out.values())


RestartedWorld.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRestartedWorld = RestartedWorld.TestCase
