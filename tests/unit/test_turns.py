"""test_turns: runs with much to send share the loop: one slice in a turn, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pybible.server.controller.dispatch.turns import Turns
from pybible.server.controller.dispatch.window import Window


class Loop:
    """Calls what it was asked to, when the test says so."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], None]] = []

    def later(self, call: Callable[[], None]) -> None:
        self._calls.append(call)

    def turn(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            call()


class Sending:
    """A run with so many slices to send."""

    def __init__(self, name: str, slices: int, turns: Turns, sent: list[str]) -> None:
        self._name = name
        self._left = slices
        self._turns = turns
        self._sent = sent

    def go_on(self) -> None:
        self._sent.append(self._name)
        self._left -= 1
        if self._left:
            self._turns.ask(self)


def test_runs_go_on_one_after_the_other() -> None:
    loop, sent = Loop(), list[str]()
    turns = Turns(loop.later)
    for name, slices in (("a", 3), ("b", 2), ("c", 1)):
        turns.ask(Sending(name, slices, turns, sent))
    for number in range(1, 8):
        loop.turn()
        assert len(sent) == min(number, 6)
    assert sent == ["a", "b", "c", "a", "b", "a"]
    assert not len(turns)


def test_a_run_that_asks_twice_has_one_turn() -> None:
    loop, sent = Loop(), list[str]()
    turns = Turns(loop.later)
    run = Sending("a", 1, turns, sent)
    turns.ask(run)
    turns.ask(run)
    loop.turn()
    loop.turn()
    assert sent == ["a"]


def test_a_run_that_fails_does_not_hold_up_the_others() -> None:
    class Failing:
        def go_on(self) -> None:
            raise ValueError("a bug")

    loop, sent = Loop(), list[str]()
    turns = Turns(loop.later)
    turns.ask(Failing())
    turns.ask(Sending("b", 1, turns, sent))
    with pytest.raises(ValueError, match="a bug"):
        loop.turn()
    loop.turn()
    assert sent == ["b"]


def test_a_window_grants_no_more_than_is_asked_for() -> None:
    window = Window(forks=5)
    for name in "abcdefg":
        window.submit(name)
    assert window.grant(2) == ["a", "b"]
    assert window.grant(10) == ["c", "d", "e"]
    assert window.grant(10) == []
