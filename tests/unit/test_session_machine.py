"""test_session_machine: one agent's session through every order of losses, returns and results."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pybible.server.controller.sessions.attempts import Attempt, AttemptState, Verdict
from pybible.server.controller.sessions.instructions import (
    Close,
    CloseStream,
    Decision,
    End,
    Instruction,
    JournalState,
    Opening,
    SendCancel,
    SendDispatch,
    SessionState,
)
from pybible.server.controller.sessions.settings import SessionSettings
from pybible.server.controller.sessions.state import SessionMachine
from pybible.v1 import agent_pb2
from tests.support.session_machine import validate

SETTINGS = SessionSettings(
    heartbeat_interval=10, missed_heartbeats=3, disconnect_grace=15, accept_timeout=10, flips=3, quarantine=600
)


class Ignored:
    """An owner whose attempts nobody asks about."""

    def dispatched(self, attempt: Attempt) -> None:
        """Do nothing."""

    def progressed(self, attempt: Attempt) -> None:
        """Do nothing."""

    def output(self, attempt: Attempt, output: agent_pb2.Output) -> None:
        """Do nothing."""

    def ended(self, attempt: Attempt, verdict: Verdict) -> None:
        """Do nothing."""


def make(name: str = "a", *, grace: float = 15.0) -> Attempt:
    return Attempt(
        id=name, name=name, run_id="r", task_id="t", host="h", agent="web01", position=1, owner=Ignored(), grace=grace
    )


def ready(*, slots: int = 10, incarnation: str = "one", now: float = 0.0) -> SessionMachine:
    machine = SessionMachine(settings=SETTINGS)
    assert machine.attach(1, incarnation=incarnation, now=now) == []
    assert machine.welcome(1, Opening(incarnation, slots), now=now) is not None
    return machine


def state_of(machine: SessionMachine) -> SessionState:
    """Return the state now: mypy believes that it can't have changed since it was last compared."""
    return machine.state


def ends(instructions: list[Instruction]) -> dict[str, str]:
    return {item.attempt.id: item.verdict.reason for item in instructions if isinstance(item, End)}


def sent(instructions: list[Instruction]) -> list[str]:
    return [item.attempt.id for item in instructions if isinstance(item, SendDispatch)]


def test_an_agent_that_never_came_is_offline_and_takes_nothing() -> None:
    machine = SessionMachine(settings=SETTINGS)
    assert machine.state is SessionState.OFFLINE
    assert ends(machine.dispatch(make(), now=0)) == {"a": "not_connected"}


def test_a_dispatch_during_the_handshake_waits_for_the_welcome() -> None:
    machine = SessionMachine(settings=SETTINGS)
    machine.attach(1, incarnation="one", now=0)
    assert machine.dispatch(make(grace=0), now=0) == []
    reconciled = machine.welcome(1, Opening("one", 1), now=1)
    assert reconciled is not None
    assert sent(reconciled.instructions) == ["a"]


def test_a_handshake_that_never_ends_does_not_hold_a_slot_for_ever() -> None:
    machine = SessionMachine(settings=SETTINGS)
    machine.attach(1, incarnation="one", now=0)
    machine.dispatch(make(), now=0)
    assert machine.next_due() == 30
    assert ends(machine.tick(30)) == {"a": "not_connected"}


def test_a_result_that_was_acknowledged_is_not_remembered() -> None:
    machine = ready()
    for name in ("a", "b"):
        machine.dispatch(make(name), now=1)
        machine.finish(name)
    machine.acknowledged("a")
    machine.stream_ended(1, now=2)
    machine.attach(2, incarnation="one", now=3)
    journal = (("a", JournalState.FINISHED), ("b", JournalState.FINISHED))
    reconciled = machine.welcome(2, Opening("one", 1, journal), now=3)
    assert reconciled is not None
    # What was acknowledged is offered by an agent that did not hear of it: it sends it once more.
    assert reconciled.verdicts == (("a", Decision.ADOPT), ("b", Decision.DROP))
    assert machine.finish("a") is None


@pytest.mark.parametrize(("grace", "lost_at"), [(0.0, 5.0), (3.0, 8.0), (60.0, 65.0)])
def test_each_attempt_has_the_grace_of_its_run(grace: float, lost_at: float) -> None:
    machine = ready()
    machine.dispatch(make(grace=grace), now=0)
    machine.accepted("a")
    gone = machine.stream_ended(1, now=5)
    if grace:
        assert gone == []
        assert ends(machine.tick(lost_at - 0.1)) == {}
        gone = machine.tick(lost_at)
    assert ends(gone) == {"a": "lost_mid_task"}
    assert state_of(machine) is (SessionState.SUSPECT if lost_at < 20 else SessionState.LOST)


def test_after_the_grace_a_session_is_lost_and_takes_nothing() -> None:
    machine = ready()
    machine.stream_ended(1, now=5)
    assert machine.dispatch(make("early"), now=6) == []
    assert ends(machine.tick(20)) == {"early": "not_connected"}
    assert machine.state is SessionState.LOST
    assert ends(machine.dispatch(make("late"), now=21)) == {"late": "not_connected"}


def test_a_silent_stream_is_suspect_then_closed() -> None:
    machine = ready()
    assert machine.tick(29) == []
    assert machine.tick(30) == []
    assert machine.state is SessionState.SUSPECT
    assert machine.tick(45) == [CloseStream(1, Close.SILENT)]
    assert state_of(machine) is SessionState.LOST


def test_a_silent_stream_that_speaks_again_goes_on() -> None:
    machine = ready()
    machine.dispatch(make(), now=0)
    machine.accepted("a")
    machine.tick(30)
    machine.dispatch(make("b"), now=31)
    assert sent(machine.awake(32)) == ["b"]
    assert machine.state is SessionState.READY
    assert machine.finish("a") is not None


def test_a_newer_stream_supersedes_the_older_one() -> None:
    machine = ready()
    machine.dispatch(make(), now=0)
    machine.accepted("a")
    assert machine.attach(2, incarnation="one", now=1) == [CloseStream(1, Close.SUPERSEDED)]
    assert machine.stream_ended(1, now=1) == []
    reconciled = machine.welcome(2, Opening("one", 10, (("a", JournalState.RUNNING),)), now=1)
    assert reconciled is not None
    assert reconciled.verdicts == (("a", Decision.ADOPT),)
    assert "a" in machine.out


@pytest.mark.parametrize("heard", [False, True])
def test_what_an_agent_took_on_its_old_stream_after_the_hello_on_the_new_one_goes_on(heard: bool) -> None:
    machine = ready()
    # The hello was written before this was sent, and is read after it was accepted.
    machine.dispatch(make(), now=0)
    if heard:
        machine.accepted("a")
    machine.attach(2, incarnation="one", now=1)
    reconciled = machine.welcome(2, Opening("one", 10), now=1)
    assert reconciled is not None
    assert ends(reconciled.instructions) == {}
    assert sent(reconciled.instructions) == ["a"]
    # It is answered from the journal.
    assert machine.accepted("a") is not None
    assert machine.finish("a") is not None


def test_what_is_to_be_cancelled_on_the_new_stream_is() -> None:
    machine = ready()
    attempt = make()
    machine.dispatch(attempt, now=0)
    machine.accepted("a")
    machine.cancel(attempt)
    machine.attach(2, incarnation="one", now=1)
    reconciled = machine.welcome(2, Opening("one", 10), now=1)
    assert reconciled is not None
    assert reconciled.instructions == [SendDispatch(attempt), SendCancel("a")]


def test_two_live_copies_of_an_identity_are_quarantined() -> None:
    machine = ready(incarnation="a")
    for number, incarnation in ((2, "b"), (3, "a"), (4, "b")):
        assert machine.attach(number, incarnation=incarnation, now=number) == [
            CloseStream(number - 1, Close.SUPERSEDED)
        ]
    closed = machine.attach(5, incarnation="a", now=5)
    assert closed == [CloseStream(4, Close.QUARANTINED), CloseStream(5, Close.QUARANTINED)]
    assert machine.state is SessionState.QUARANTINED
    assert ends(machine.dispatch(make(), now=6)) == {"a": "not_connected"}
    assert machine.attach(6, incarnation="b", now=7) == [CloseStream(6, Close.QUARANTINED)]
    assert machine.attach(7, incarnation="b", now=700) == []
    assert state_of(machine) is SessionState.SYNC


def test_reconnects_of_one_process_are_no_flips() -> None:
    machine = ready()
    for number in range(2, 20):
        assert machine.attach(number, incarnation="one", now=1) == [CloseStream(number - 1, Close.SUPERSEDED)]


@pytest.mark.parametrize(
    ("state", "decision", "reason"),
    [
        (JournalState.RUNNING, Decision.CANCEL, "interrupted"),
        (JournalState.INTERRUPTED, Decision.DROP, "interrupted"),
        (JournalState.FINISHED, Decision.ADOPT, ""),
    ],
)
def test_another_incarnation_keeps_only_what_it_finished(state: JournalState, decision: Decision, reason: str) -> None:
    machine = ready()
    machine.dispatch(make(), now=0)
    machine.accepted("a")
    machine.stream_ended(1, now=1)
    machine.attach(2, incarnation="two", now=2)
    reconciled = machine.welcome(2, Opening("two", 10, (("a", state),)), now=2)
    assert reconciled is not None
    assert reconciled.verdicts == (("a", decision),)
    assert ends(reconciled.instructions) == ({"a": reason} if reason else {})


def test_a_known_result_is_dropped_and_a_lost_one_is_wanted() -> None:
    machine = ready()
    for name in ("known", "lost", "stopped"):
        machine.dispatch(make(name, grace=0), now=0)
        machine.accepted(name)
    machine.finish("known")
    machine.abandon(machine.out["stopped"], now=0)
    machine.stream_ended(1, now=1)
    machine.attach(2, incarnation="one", now=2)
    journal = (
        ("known", JournalState.FINISHED),
        ("lost", JournalState.RUNNING),
        ("stopped", JournalState.RUNNING),
        ("never", JournalState.RUNNING),
    )
    reconciled = machine.welcome(2, Opening("one", 10, journal), now=2)
    assert reconciled is not None
    assert dict(reconciled.verdicts) == {
        "known": Decision.DROP,
        "lost": Decision.ADOPT,
        "stopped": Decision.CANCEL,
        "never": Decision.CANCEL,
    }


def test_a_cancel_reaches_an_agent_that_was_away() -> None:
    machine = ready()
    attempt = make()
    machine.dispatch(attempt, now=0)
    machine.accepted("a")
    machine.stream_ended(1, now=1)
    assert machine.cancel(attempt) == []
    machine.attach(2, incarnation="one", now=2)
    reconciled = machine.welcome(2, Opening("one", 10, (("a", JournalState.RUNNING),)), now=2)
    assert reconciled is not None
    assert reconciled.verdicts == (("a", Decision.CANCEL),)
    assert machine.finish("a") is attempt


def test_what_waits_for_a_slot_of_the_agent_goes_when_one_is_free() -> None:
    machine = ready(slots=1)
    assert sent(machine.dispatch(make("a"), now=0)) == ["a"]
    assert machine.dispatch(make("b"), now=0) == []
    machine.finish("a")
    assert sent(machine.refill(1)) == ["b"]


def test_a_draining_agent_finishes_what_runs() -> None:
    machine = ready(slots=1)
    machine.dispatch(make("a"), now=0)
    machine.dispatch(make("b"), now=0)
    assert ends(machine.draining()) == {"b": "not_connected"}
    assert ends(machine.dispatch(make("c"), now=0)) == {"c": "not_connected"}
    assert machine.finish("a") is not None
    assert machine.stream_ended(1, now=1, goodbye=True) == []
    assert machine.state is SessionState.OFFLINE


@dataclass(slots=True)
class SimulatedAgent:
    """What an agent's process and its journal would hold."""

    incarnation: int = 1
    journal: dict[str, JournalState] = field(default_factory=dict)
    # Dispatches on the wire, and those that never were.
    inbox: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)


class SessionWorld(RuleBasedStateMachine):
    """A machine, its agent, and a network that loses whatever is under way when it breaks."""

    @initialize(slots=st.integers(1, 3))
    def begin(self, slots: int) -> None:
        self.machine = SessionMachine(settings=SETTINGS)
        self.agent = SimulatedAgent()
        self.slots = slots
        self.now = 0.0
        self.streams = 0
        self.connected = False
        self.number = 0
        self.submitted: dict[str, Attempt] = {}
        self.verdicts: dict[str, str] = {}

    def perform(self, instructions: list[Instruction]) -> None:
        for item in instructions:
            match item:
                case SendDispatch(attempt):
                    assert self.connected
                    self.agent.inbox.append(attempt.id)
                case End(attempt, verdict):
                    self.end(attempt.id, verdict.reason)
                case CloseStream(stream, _why):
                    if stream == self.streams:
                        self.connected = False
                case SendCancel():
                    assert self.connected

    def end(self, attempt_id: str, reason: str) -> None:
        assert attempt_id not in self.verdicts, "a second verdict"
        self.verdicts[attempt_id] = reason

    @rule(grace=st.sampled_from([0.0, 5.0, 15.0, 40.0]))
    def dispatch(self, grace: float) -> None:
        self.number += 1
        attempt = make(f"a{self.number}", grace=grace)
        self.submitted[attempt.id] = attempt
        self.perform(self.machine.dispatch(attempt, now=self.now))

    @rule(restarted=st.booleans())
    def connect(self, restarted: bool) -> None:
        agent = self.agent
        agent.inbox.clear()
        if restarted:
            agent.incarnation += 1
            for name, state in agent.journal.items():
                if state is JournalState.RUNNING:
                    agent.journal[name] = JournalState.INTERRUPTED
        self.streams += 1
        self.connected = True
        self.perform(self.machine.attach(self.streams, incarnation=str(agent.incarnation), now=self.now))
        if not self.connected:
            return
        opening = Opening(str(agent.incarnation), self.slots, tuple(agent.journal.items()))
        reconciled = self.machine.welcome(self.streams, opening, now=self.now)
        assert reconciled is not None
        assert {name for name, _ in reconciled.verdicts} == set(agent.journal)
        self.perform(reconciled.instructions)
        for name, decision in reconciled.verdicts:
            if decision is not Decision.ADOPT:
                assert name in self.verdicts or self.submitted[name].cancelling
                if decision is Decision.DROP or agent.journal[name] is JournalState.INTERRUPTED:
                    del agent.journal[name]

    @precondition(lambda self: self.connected)
    @rule(goodbye=st.booleans())
    def disconnect(self, goodbye: bool) -> None:
        self.connected = False
        self.agent.inbox.clear()
        self.perform(self.machine.stream_ended(self.streams, now=self.now, goodbye=goodbye))

    @rule()
    def revoke(self) -> None:
        self.connected = False
        self.agent.inbox.clear()
        self.perform(self.machine.revoked())
        assert self.verdicts.keys() == self.submitted.keys()

    def heard(self) -> None:
        self.machine.heard_at = self.now
        if self.machine.state is SessionState.SUSPECT:
            self.perform(self.machine.awake(self.now))

    @precondition(lambda self: self.connected and self.agent.inbox)
    @rule()
    def the_agent_accepts(self) -> None:
        name = self.agent.inbox.pop(0)
        self.heard()
        if name in self.agent.journal:
            return
        assert name not in self.agent.started, "run a second time"
        self.agent.started.append(name)
        self.agent.journal[name] = JournalState.RUNNING
        self.machine.accepted(name)

    @rule(data=st.data())
    def the_agent_finishes(self, data: st.DataObject) -> None:
        running = [name for name, state in self.agent.journal.items() if state is JournalState.RUNNING]
        if running:
            self.agent.journal[data.draw(st.sampled_from(running))] = JournalState.FINISHED

    @precondition(lambda self: self.connected)
    @rule()
    def the_agent_sends_its_results(self) -> None:
        self.heard()
        for name in [name for name, state in self.agent.journal.items() if state is JournalState.FINISHED]:
            if self.machine.finish(name) is not None:
                self.end(name, "")
            self.perform(self.machine.refill(self.now))
            del self.agent.journal[name]

    @precondition(lambda self: self.connected)
    @rule()
    def heartbeat(self) -> None:
        self.heard()
        self.machine.beats += 1

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.submitted:
            name = data.draw(st.sampled_from(sorted(self.submitted)))
            self.perform(self.machine.cancel(self.submitted[name]))

    @rule(data=st.data())
    def a_deadline_passes(self, data: st.DataObject) -> None:
        still_open = sorted(self.submitted.keys() - self.verdicts.keys())
        if still_open:
            name = data.draw(st.sampled_from(still_open))
            self.end(name, "timed_out")
            self.perform(self.machine.abandon(self.submitted[name], now=self.now))

    @rule(seconds=st.sampled_from([0.5, 3.0, 11.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.machine.next_due()) <= end:
            self.now = max(self.now, due)
            self.perform(self.machine.tick(self.now))
            assert self.machine.next_due() > self.now, "a tick that changes nothing"
        self.now = end

    @invariant()
    def holds_together(self) -> None:
        if not hasattr(self, "machine"):
            return
        validate(self.machine)
        assert len(self.machine.out) <= self.slots or self.machine.state is not SessionState.READY
        still_open = self.submitted.keys() - self.verdicts.keys()
        assert still_open == self.machine.out.keys() | self.machine.held.keys(), "an attempt is lost, or kept"

    def teardown(self) -> None:
        if not hasattr(self, "machine"):
            return
        # Whatever happened: once the agent is gone, everything has its verdict within the longest grace.
        if self.connected:
            self.disconnect(goodbye=False)
        self.time_passes(45.0)
        assert self.verdicts.keys() == self.submitted.keys()
        assert all(item.state is not AttemptState.PENDING for item in self.machine.out.values())


SessionWorld.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestSessionWorld = SessionWorld.TestCase
