"""test_session_time: who is slow, queues, or waits for the controller, is not taken for who is gone or refuses."""

from __future__ import annotations

from pybible.server.controller.sessions.instructions import Decision, JournalState, Opening, SendCancel, SessionState
from pybible.server.controller.sessions.state import SessionMachine
from tests.unit.test_session_machine import SETTINGS, ends, make, ready, sent


def test_who_is_back_is_not_lost_while_the_controller_prepares_its_welcome() -> None:
    machine = ready(slots=1)
    machine.dispatch(make("out"), now=1)
    machine.dispatch(make("held"), now=1)
    machine.stream_ended(1, now=5)
    machine.attach(2, incarnation="one", now=19)
    assert machine.tick(20) == []
    assert machine.tick(40) == []
    reconciled = machine.welcome(2, Opening("one", 2), now=41)
    assert reconciled is not None
    assert sent(reconciled.instructions) == ["out", "held"]


def heartbeats(machine: SessionMachine, count: int, *, now: float) -> None:
    """Let so many heartbeats of its agent be read."""
    machine.beats += count
    machine.heard_at = now


def test_who_has_time_and_does_not_accept_fails() -> None:
    machine = ready()
    machine.dispatch(make(), now=1)
    heartbeats(machine, 4, now=10)
    assert machine.next_due() == 11
    done = machine.tick(11)
    assert ends(done) == {"a": "accept_timeout"}
    assert SendCancel("a") in done


def test_who_had_no_time_to_accept_does_not_fail() -> None:
    machine = ready()
    machine.dispatch(make(), now=1)
    heartbeats(machine, 3, now=10)
    assert machine.tick(11) == []
    assert machine.next_due() == 21
    assert machine.accepted("a") is not None
    heartbeats(machine, 3, now=20)
    assert machine.tick(21) == []


def test_a_task_that_is_sent_again_is_waited_for_anew() -> None:
    machine = ready()
    machine.dispatch(make(), now=1)
    heartbeats(machine, 4, now=2)
    machine.stream_ended(1, now=3)
    machine.attach(2, incarnation="one", now=4)
    reconciled = machine.welcome(2, Opening("one", 1), now=4)
    assert reconciled is not None
    assert sent(reconciled.instructions) == ["a"]
    assert machine.tick(14) == []


def test_who_talks_without_heartbeats_and_does_not_accept_fails_in_the_end() -> None:
    machine = ready()
    machine.dispatch(make(), now=0)
    for now in range(10, 100, 10):
        machine.heard_at = now
        assert machine.tick(now) == []
    machine.heard_at = 100
    assert ends(machine.tick(100)) == {"a": "accept_timeout"}


def in_a_storm(until: float) -> SessionMachine:
    """Return one whose agent has left, at 5, with an attempt out and one held; a storm holds its grace."""
    machine = SessionMachine(settings=SETTINGS, storm=lambda now: until if now < until else 0.0)
    machine.attach(1, incarnation="one", now=0)
    machine.welcome(1, Opening("one", 1), now=0)
    machine.dispatch(make("out"), now=1)
    machine.dispatch(make("held"), now=1)
    machine.stream_ended(1, now=5)
    return machine


def test_in_a_storm_the_grace_of_who_is_away_does_not_end() -> None:
    machine = in_a_storm(until=60)
    assert machine.tick(20) == []
    assert machine.next_due() == 60
    assert machine.dispatch(make("new"), now=50) == []
    machine.attach(2, incarnation="one", now=59)
    reconciled = machine.welcome(2, Opening("one", 3, (("out", JournalState.FINISHED),)), now=59)
    assert reconciled is not None
    assert reconciled.verdicts == (("out", Decision.ADOPT),)
    assert sent(reconciled.instructions) == ["held", "new"]


def test_after_a_storm_who_did_not_come_is_lost() -> None:
    machine = in_a_storm(until=60)
    machine.tick(20)
    assert ends(machine.tick(60)) == {"out": "lost_mid_task", "held": "not_connected"}
    assert machine.state is SessionState.LOST


def test_a_storm_does_not_soften_a_grace_of_nothing() -> None:
    machine = SessionMachine(settings=SETTINGS, storm=lambda _now: 60.0)
    machine.attach(1, incarnation="one", now=0)
    machine.welcome(1, Opening("one", 1), now=0)
    machine.dispatch(make("strict", grace=0), now=1)
    assert ends(machine.stream_ended(1, now=5)) == {"strict": "lost_mid_task"}
    assert ends(machine.dispatch(make("later", grace=0), now=6)) == {"later": "not_connected"}
