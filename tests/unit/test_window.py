"""test_window: never more than forks out, never a free slot while something may go out."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pybible.server.controller.dispatch.window import Window


def test_grants_in_order_up_to_forks() -> None:
    window = Window(forks=2)
    for name in "abc":
        window.submit(name)
    assert window.grant() == ["a", "b"]
    assert window.grant() == []
    assert window.release("b")
    assert window.grant() == ["c"]
    assert (window.out, window.waiting) == (2, 0)


def test_a_throttled_task_lets_others_pass_and_keeps_its_order() -> None:
    window = Window(forks=4)
    for name in ("t1", "t2", "t3"):
        window.submit(name, task_id="t", throttle=1)
    window.submit("u1", task_id="u")
    assert window.grant() == ["t1", "u1"]
    window.release("t1")
    assert window.grant() == ["t2"]
    window.release("t2")
    assert window.grant() == ["t3"]


def test_an_attempt_freed_by_its_throttle_goes_before_later_ones() -> None:
    window = Window(forks=1)
    window.submit("t1", task_id="t", throttle=1)
    window.submit("t2", task_id="t", throttle=1)
    assert window.grant() == ["t1"]
    window.submit("u1", task_id="u")
    window.release("t1")
    assert window.grant() == ["t2"]


def test_releasing_what_is_not_out_changes_nothing() -> None:
    window = Window(forks=1)
    window.submit("a")
    assert not window.release("a")
    assert not window.release("unknown")
    assert window.grant() == ["a"]
    assert window.release("a")
    assert not window.release("a")
    window.validate()


def test_cancel_takes_out_what_waits_and_leaves_what_is_out() -> None:
    window = Window(forks=1)
    for name in "abc":
        window.submit(name)
    window.grant()
    assert window.cancel(["a", "c", "nobody"]) == ["c"]
    assert window.cancel() == ["b"]
    assert window.ids() == ("a",)


def test_a_deadline_is_reported_once_and_forgotten_with_its_slot() -> None:
    window = Window(forks=2)
    window.submit("a")
    window.submit("b")
    window.grant()
    window.set_deadline("a", 5.0)
    window.set_deadline("b", 3.0)
    window.set_deadline("a", 9.0)
    assert window.next_deadline() == 3.0
    window.release("b")
    assert window.next_deadline() == 9.0
    assert window.overdue(8.9) == []
    assert window.overdue(9.0) == ["a"]
    assert window.overdue(99.0) == []
    assert window.next_deadline() is None


def test_an_id_may_be_in_the_window_once_at_a_time() -> None:
    window = Window(forks=1)
    window.submit("a")
    with pytest.raises(ValueError, match="already"):
        window.submit("a")
    window.grant()
    window.release("a")
    window.submit("a")
    assert window.grant() == ["a"]


def test_a_window_without_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="slot"):
        Window(forks=0)


class WindowMachine(RuleBasedStateMachine):
    """A window against the simplest model of one: lists that are searched from the start."""

    # How many of a task may be out: fixed for each task, as the engine has it.
    throttles: ClassVar = {"free": 0, "one": 1, "two": 2, "wide": 50}

    @initialize(forks=st.integers(1, 5))
    def begin(self, forks: int) -> None:
        self.window = Window(forks=forks)
        self.forks = forks
        self.waiting: list[tuple[str, str]] = []
        self.out: dict[str, str] = {}
        self.deadlines: dict[str, float] = {}
        self.number = 0
        self.now = 0.0
        self.ended: list[str] = []

    def expected(self) -> list[str]:
        granted: list[str] = []
        for entry in list(self.waiting):
            name, task = entry
            if len(self.out) == self.forks:
                break
            limit = self.throttles[task]
            if limit and sum(other == task for other in self.out.values()) >= limit:
                continue
            self.waiting.remove(entry)
            self.out[name] = task
            granted.append(name)
        return granted

    def gone(self, name: str) -> None:
        del self.out[name]
        self.deadlines.pop(name, None)
        self.ended.append(name)

    @rule(tasks=st.lists(st.sampled_from(sorted(throttles)), min_size=1, max_size=6))
    def submit(self, tasks: list[str]) -> None:
        for task in tasks:
            self.number += 1
            name = f"a{self.number}"
            self.window.submit(name, task_id=task, throttle=self.throttles[task])
            self.waiting.append((name, task))

    @rule()
    def grant(self) -> None:
        assert self.window.grant() == self.expected()

    @rule()
    def another_window_lets_out_the_same(self) -> None:
        """A controller that was started again is told, in the first order, what has not ended."""
        self.grant()
        tasks = {**self.out, **dict(self.waiting)}
        again = Window(forks=self.forks)
        for name in sorted(tasks, key=lambda name: int(name[1:])):
            again.submit(name, task_id=tasks[name], throttle=self.throttles[tasks[name]])
        assert set(again.grant()) == set(self.out)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.out)))
        assert self.window.release(name)
        self.gone(name)

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def a_result_comes_twice(self, data: st.DataObject) -> None:
        assert not self.window.release(data.draw(st.sampled_from(self.ended)))

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def agents_are_lost(self, data: st.DataObject) -> None:
        for name in data.draw(st.sets(st.sampled_from(sorted(self.out)), min_size=1)):
            assert self.window.release(name)
            self.gone(name)

    @precondition(lambda self: self.waiting or self.out)
    @rule(data=st.data())
    def cancel_some(self, data: st.DataObject) -> None:
        names = [*self.out, *(name for name, _ in self.waiting)]
        chosen = data.draw(st.lists(st.sampled_from(names)))
        removed = self.window.cancel(chosen)
        assert set(removed) == {name for name, _ in self.waiting} & set(chosen)
        assert len(removed) == len(set(removed))
        self.waiting = [entry for entry in self.waiting if entry[0] not in removed]

    @rule()
    def cancel_all(self) -> None:
        assert self.window.cancel() == [name for name, _ in self.waiting]
        self.waiting.clear()

    @precondition(lambda self: self.out)
    @rule(data=st.data(), seconds=st.integers(0, 10))
    def set_deadline(self, data: st.DataObject, seconds: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.out)))
        self.deadlines[name] = self.now + seconds
        self.window.set_deadline(name, self.now + seconds)

    @rule(seconds=st.integers(0, 6))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        late = self.window.overdue(self.now)
        assert sorted(late) == sorted(name for name, when in self.deadlines.items() if when <= self.now)
        for name in late:
            assert self.window.release(name)
            self.gone(name)

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "window"):
            return
        self.window.validate()
        assert self.window.out == len(self.out) <= self.forks
        assert self.window.waiting == len(self.waiting)
        assert self.window.next_deadline() == min(self.deadlines.values(), default=None)

    def teardown(self) -> None:
        if not hasattr(self, "window"):
            return
        # No leak: whatever happened, everything that waits comes to its turn.
        while self.waiting or self.out:
            assert self.window.grant() == self.expected()
            assert self.out
            for name in list(self.out):
                assert self.window.release(name)
                self.gone(name)
        assert (self.window.out, self.window.waiting, self.window.ids()) == (0, 0, ())
        self.window.validate()


WindowMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWindowAgainstModel = WindowMachine.TestCase
