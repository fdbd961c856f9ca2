"""test_strategy_cursor: where a host goes when its tasks succeed and fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.server.engine.model.play import Block, Node, Task, new_id
from pybible.server.engine.strategy.cursor import Cursor, tasks_of
from pybible.wire.errors import Origin

HERE = Origin("play.yml", 1, 1)


def task(name: str) -> Task:
    """A task that is told apart by its name."""
    return Task(id=new_id("t"), origin=HERE, name=name, action="debug", action_written="debug", search_path=(Path(),))


def block(*nodes: Node, rescue: Sequence[Node] = (), always: Sequence[Node] = ()) -> Block:
    """A block of these nodes."""
    return Block(id=new_id("b"), origin=HERE, block=nodes, rescue=tuple(rescue), always=tuple(always))


def walk(cursor: Cursor, failing: Callable[[str], bool] = lambda name: False, limit: int = 100) -> list[str]:
    """Run a host to its end; tasks for which `failing` says so fail. Return the names in order."""
    names: list[str] = []
    while cursor.current is not None:
        assert len(names) < limit
        names.append(cursor.current.name)
        if failing(cursor.current.name):
            cursor.fail()
        else:
            cursor.advance()
    return names


TREE = (
    block(task("a"), task("b"), rescue=[task("r1"), task("r2")], always=[task("w")]),
    task("z"),
)


@pytest.mark.parametrize(
    ("failing", "order", "failed"),
    [
        ("", "a b w z", False),
        ("a", "a r1 r2 w z", False),
        ("b", "a b r1 r2 w z", False),
        ("a r1", "a r1 w", True),
        ("a w", "a r1 r2 w", True),
        ("w", "a b w", True),
        ("z", "a b w z", True),
    ],
)
def test_a_failure_leads_to_rescue_then_always_then_out(failing: str, order: str, failed: bool) -> None:
    cursor = Cursor(TREE)

    assert walk(cursor, lambda name: name in failing.split()) == order.split()
    assert cursor.failed is failed


def test_a_failure_without_rescue_passes_through_always_to_the_outer_rescue() -> None:
    inner = block(task("a"), task("never"), always=[task("w")])
    cursor = Cursor((block(inner, task("never too"), rescue=[task("r")]), task("z")))

    assert walk(cursor, lambda name: name == "a") == ["a", "w", "r", "z"]
    assert not cursor.failed


def test_a_failure_in_an_included_file_is_a_failure_at_the_include() -> None:
    include = task("include")
    cursor = Cursor((block(include, task("never"), rescue=[task("r")]),))
    cursor.include([block(task("one"), task("two"))])

    assert walk(cursor, lambda name: name == "one") == ["one", "r"]


def test_an_empty_include_goes_on() -> None:
    cursor = Cursor((task("include"), task("next")))
    cursor.include([])

    assert walk(cursor) == ["next"]


def test_only_notified_handlers_run_in_the_order_of_their_definition() -> None:
    handlers = [task("h1"), task("h2"), task("h3")]
    cursor = Cursor((task("flush"), task("next")))
    cursor.notified.update({handlers[2].id, handlers[0].id})
    cursor.flush(handlers)

    assert walk(cursor) == ["h1", "h3", "next"]
    assert not cursor.notified


def test_a_handler_that_notifies_an_earlier_one_leaves_it_for_the_next_flush() -> None:
    early, late = task("early"), task("late")
    cursor = Cursor((task("flush"), task("next")))
    cursor.notified.add(late.id)
    cursor.flush([early, late])
    assert cursor.current is late
    cursor.notified.add(early.id)

    assert walk(cursor) == ["late", "next"]
    assert cursor.notified == {early.id}


def test_a_handler_that_fails_sends_the_host_to_the_rescue_and_keeps_the_other_notifications() -> None:
    first, second = task("first"), task("second")
    cursor = Cursor((block(task("flush"), rescue=[task("r"), task("flush again")]), task("z")))
    cursor.notified.update({first.id, second.id})
    cursor.flush([first, second])
    assert cursor.current is first
    cursor.fail()

    assert cursor.current is not None
    assert cursor.current.name == "r"
    cursor.advance()
    cursor.flush([first, second])
    assert walk(cursor) == ["second", "z"]


def test_tasks_that_a_handler_includes_run_right_after_it() -> None:
    first, second = task("first"), task("second")
    cursor = Cursor((task("flush"), task("next")))
    cursor.notified.update({first.id, second.id})
    cursor.flush([first, second])
    cursor.include([block(task("i1"), task("i2"))])

    assert walk(cursor) == ["i1", "i2", "second", "next"]


def test_a_host_that_ended_has_not_failed() -> None:
    cursor = Cursor(TREE)
    cursor.end()

    assert cursor.current is None
    assert not cursor.failed


def test_cleared_errors_revive_a_host_that_left_a_block_by_its_always() -> None:
    cursor = Cursor((block(task("a"), always=[task("w")]), task("z")))
    assert walk(cursor, lambda name: name == "a") == ["a", "w"]
    assert cursor.failed

    cursor.clear_errors()

    assert walk(cursor) == ["z"]


def test_cleared_errors_do_not_revive_a_host_that_fell_out_at_once() -> None:
    cursor = Cursor((task("a"), task("z")))
    cursor.fail()
    cursor.clear_errors()

    assert cursor.current is None


def nodes(depth: int = 3) -> st.SearchStrategy[list[Node]]:
    """Lists of tasks and blocks."""
    leaf: st.SearchStrategy[Node] = st.builds(lambda: task("t"))
    if depth == 0:
        return st.lists(leaf, max_size=3)
    inner = nodes(depth - 1)
    blocks = st.builds(lambda body, rescue, always: block(*body, rescue=rescue, always=always), inner, inner, inner)
    return st.lists(st.one_of(leaf, blocks), max_size=4)


@given(nodes(), st.lists(st.booleans(), max_size=200))
def test_a_host_never_runs_a_task_twice_and_always_ends(tree: list[Node], failures: list[bool]) -> None:
    cursor = Cursor(tree)
    order = [item.id for item in tasks_of(tree)]
    seen: list[str] = []
    outcomes = iter(failures)
    while cursor.current is not None:
        seen.append(cursor.current.id)
        if next(outcomes, False):
            cursor.fail()
        else:
            cursor.advance()

    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, key=order.index)
