"""test_tickets: tickets of operators on the controller's machine, and the line in which they are told."""

from __future__ import annotations

import pytest

from pybible.server.controller.local_users import LocalUser
from pybible.server.controller.tickets import LIFETIME, Tickets
from pybible.wire.errors import ProtocolError
from pybible.wire.identity import OperatorRole
from pybible.wire.tickets import DoorAnswer

ADA = LocalUser(uid=1001, pid=7, name="ada", role=OperatorRole.RUNNER)


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_ticket_is_its_users_until_it_is_forgotten() -> None:
    tickets = Tickets()
    first, second = tickets.issue(ADA), tickets.issue(ADA)
    assert first != second
    assert len(first) >= 40
    tickets.forget(first)
    tickets.forget(first)
    assert (tickets.holder(first), tickets.holder(second), tickets.holder("")) == (None, ADA, None)


def test_a_ticket_ends_with_its_time() -> None:
    clock = Clock()
    tickets = Tickets(now=clock)
    short, endless = tickets.issue(ADA), tickets.issue(ADA, lifetime=None)
    clock.now += LIFETIME - 1
    assert tickets.holder(short) == ADA
    clock.now += 1
    assert (tickets.holder(short), tickets.holder(endless)) == (None, ADA)
    assert len(tickets) == 1


def test_tickets_that_nobody_shows_again_are_not_kept() -> None:
    clock = Clock()
    tickets = Tickets(now=clock)
    endless = tickets.issue(ADA, lifetime=None)
    for _ in range(10):
        tickets.issue(ADA)
    clock.now += LIFETIME
    last = tickets.issue(ADA)
    assert len(tickets) == 2
    assert (tickets.holder(endless), tickets.holder(last)) == (ADA, ADA)


@pytest.mark.parametrize("answer", [DoorAnswer(ticket="x", seconds=3.5), DoorAnswer(refusal="no", hint="ask")])
def test_what_the_door_says_is_read_as_it_was_meant(answer: DoorAnswer) -> None:
    assert DoorAnswer.decode(answer.encode()) == answer
    assert answer.encode().count(b"\n") == 1


def test_what_a_newer_door_adds_is_passed_over() -> None:
    assert DoorAnswer.decode(b'{"ticket":"x","seconds":1,"colour":"red"}\n') == DoorAnswer(ticket="x", seconds=1)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"HTTP/1.1 400 Bad Request\n",
        b"[]\n",
        b"{}\n",
        b'{"ticket":"x","refusal":"y"}\n',
        b'{"ticket":7}\n',
        b'{"ticket":"x","seconds":"y"}\n',
        b"\xff\n",
    ],
)
def test_what_no_door_says_is_no_answer(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        DoorAnswer.decode(line)
