"""test_strategy_order: who runs what next, under linear and free."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybible.server.engine.model.play import Node, Task
from pybible.server.engine.strategy.cursor import tasks_of
from pybible.server.engine.strategy.events import Effect, TaskEnd, Verdict
from pybible.server.engine.strategy.free import Free
from pybible.server.engine.strategy.handlers import Handlers, NamedHandler
from pybible.server.engine.strategy.linear import Linear
from tests.unit.test_strategy_cursor import block, nodes, task

HOSTS = ("h1", "h2", "h3")
Ends = Callable[[str, Task], TaskEnd]


def well(_host: str, _task: Task) -> TaskEnd:
    """Everything ends well."""
    return TaskEnd()


def fails(*places: str, fatal: bool = False) -> Ends:
    """Ends of which those at `HOST TASK` are failures."""

    def end(host: str, item: Task) -> TaskEnd:
        failed = f"{host} {item.name}" in places
        return TaskEnd(verdict=Verdict.FAILED if failed else Verdict.OK, fatal=fatal)

    return end


def linear(tree: list[Node], *, handlers: Handlers | None = None, percentage: float | None = None) -> Linear:
    """A linear strategy over these nodes."""
    return Linear(tree, HOSTS, handlers=handlers or Handlers(), max_fail_percentage=percentage)


def drive(strategy: Linear, end: Ends = well) -> list[str]:
    """Run a strategy to its end. Return `TASK: HOSTS` for every step."""
    steps: list[str] = []
    while (step := strategy.next()) is not None:
        steps.append(f"{step.task.name}: {' '.join(step.hosts)}")
        for host in step.hosts:
            strategy.feed(host, end(host, step.task))
    return steps


def test_hosts_in_block_rescue_and_always_wait_for_each_other() -> None:
    tree: list[Node] = [block(task("a"), task("b"), rescue=[task("r")], always=[task("w")]), task("z")]

    assert drive(linear(tree), fails("h2 a")) == [
        "a: h1 h2 h3",
        "b: h1 h3",
        "r: h2",
        "w: h1 h2 h3",
        "z: h1 h2 h3",
    ]


def test_a_host_that_failed_runs_nothing_more() -> None:
    strategy = linear([task("a"), task("b")])

    assert drive(strategy, fails("h2 a")) == ["a: h1 h2 h3", "b: h1 h3"]
    assert strategy.batch.failed == {"h2"}


def test_an_unreachable_host_runs_neither_rescue_nor_always() -> None:
    tree: list[Node] = [block(task("a"), rescue=[task("r")], always=[task("w")])]
    strategy = linear(tree)

    def end(host: str, item: Task) -> TaskEnd:
        return TaskEnd(verdict=Verdict.UNREACHABLE if host == "h2" and item.name == "a" else Verdict.OK)

    assert drive(strategy, end) == ["a: h1 h2 h3", "w: h1 h3"]
    assert strategy.batch.unreachable == {"h2"}


def test_any_errors_fatal_sends_everybody_to_the_rescue() -> None:
    tree: list[Node] = [block(task("a"), task("b"), rescue=[task("r")]), task("z")]
    strategy = linear(tree)

    assert drive(strategy, fails("h2 a", fatal=True)) == ["a: h1 h2 h3", "r: h1 h2 h3", "z: h1 h2 h3"]
    assert strategy.batch.failed == {"h1", "h3"}


def test_any_errors_fatal_leads_to_the_rescue_from_the_last_task_of_a_block_too() -> None:
    tree: list[Node] = [block(task("a"), rescue=[task("r")]), task("z")]

    assert drive(linear(tree), fails("h2 a", fatal=True)) == ["a: h1 h2 h3", "r: h1 h2 h3", "z: h1 h2 h3"]


def test_any_errors_fatal_without_rescue_ends_the_batch() -> None:
    strategy = linear([task("a"), task("b")])

    assert drive(strategy, fails("h2 a", fatal=True)) == ["a: h1 h2 h3"]
    assert strategy.batch.failed == set(HOSTS)


@pytest.mark.parametrize(("percentage", "stops"), [(0, True), (33, True), (34, False), (100, False)])
def test_the_batch_stops_when_more_than_max_fail_percentage_failed(percentage: float, stops: bool) -> None:
    strategy = linear([task("a"), task("b")], percentage=percentage)

    assert drive(strategy, fails("h2 a")) == (["a: h1 h2 h3"] if stops else ["a: h1 h2 h3", "b: h1 h3"])
    assert (strategy.stop is not None) is stops


def test_a_task_that_runs_once_moves_everybody_on() -> None:
    strategy = linear([task("a"), task("b")])
    step = strategy.next()
    assert step is not None
    strategy.feed("h1", TaskEnd(run_once=True))

    assert strategy.skip_rest() == ("h2", "h3")
    assert drive(strategy) == ["b: h1 h2 h3"]


def test_a_task_that_runs_once_and_fails_fails_everybody() -> None:
    strategy = linear([task("a"), task("b")])
    strategy.next()
    strategy.feed("h1", TaskEnd(verdict=Verdict.FAILED, run_once=True))
    strategy.skip_rest()

    assert strategy.next() is None
    assert strategy.batch.failed == set(HOSTS)


def test_included_tasks_run_right_after_their_include_in_the_order_of_the_hosts_that_asked() -> None:
    first, second = [task("one")], [task("two")]

    def end(host: str, item: Task) -> TaskEnd:
        if item.name == "include":
            return TaskEnd(include=second if host == "h2" else first)
        return TaskEnd()

    assert drive(linear([task("include"), task("z")]), end) == [
        "include: h1 h2 h3",
        "one: h1 h3",
        "two: h2",
        "z: h1 h2 h3",
    ]


def test_handlers_run_after_the_flush_for_the_hosts_that_were_notified() -> None:
    first, second = task("first"), task("second")
    handlers = Handlers()
    handlers.add(NamedHandler(task=item, name=item.name, group="play") for item in (first, second))

    def end(host: str, item: Task) -> TaskEnd:
        if item.name == "a":
            return TaskEnd(notify=("second",) if host == "h1" else ("second", "first"))
        return TaskEnd(effect=Effect.FLUSH if item.name == "flush" else Effect.NONE)

    assert drive(linear([task("a"), task("flush"), task("z")], handlers=handlers), end) == [
        "a: h1 h2 h3",
        "flush: h1 h2 h3",
        "first: h2 h3",
        "second: h1 h2 h3",
        "z: h1 h2 h3",
    ]


@pytest.mark.parametrize(
    ("effect", "steps"),
    [
        (Effect.END_HOST, ["a: h1 h2 h3", "b: h1 h3"]),
        (Effect.END_BATCH, ["a: h1 h2 h3"]),
        (Effect.END_PLAY, ["a: h1 h2 h3"]),
    ],
)
def test_ends_are_no_failures(effect: Effect, steps: list[str]) -> None:
    strategy = linear([task("a"), task("b")])

    def end(host: str, item: Task) -> TaskEnd:
        return TaskEnd(effect=effect if host == "h2" and item.name == "a" else Effect.NONE)

    assert drive(strategy, end) == steps
    assert not strategy.batch.failed
    assert strategy.batch.play_ended is (effect is Effect.END_PLAY)


def test_clear_host_errors_brings_an_unreachable_host_back_after_its_task() -> None:
    strategy = linear([task("a"), task("b"), task("clear"), task("z")])

    def end(host: str, item: Task) -> TaskEnd:
        if item.name == "clear":
            return TaskEnd(effect=Effect.CLEAR_ERRORS)
        return TaskEnd(verdict=Verdict.UNREACHABLE if (host, item.name) == ("h2", "a") else Verdict.OK)

    assert drive(strategy, end) == [
        "a: h1 h2 h3",
        "b: h1 h3",
        "clear: h1 h3",
        "z: h1 h3",
        "b: h2",
        "clear: h2",
        "z: h2",
    ]


def test_of_handlers_of_one_name_the_last_role_wins_and_the_first_of_a_file() -> None:
    one, two, three = task("one"), task("two"), task("three")
    handlers = Handlers()
    handlers.add(
        NamedHandler(task=item, name="restart", group=group)
        for item, group in ((one, "role"), (two, "play"), (three, "play"))
    )

    assert handlers.find("restart") == (two,)
    assert handlers.find("nothing") == ()


VERDICTS = st.sampled_from([Verdict.OK] * 6 + [Verdict.FAILED, Verdict.UNREACHABLE])
EFFECTS = st.sampled_from([Effect.NONE] * 8 + [Effect.END_HOST, Effect.CLEAR_ERRORS, Effect.FLUSH])


@given(nodes(), st.integers(), st.sampled_from([None, 0.0, 50.0]))
def test_in_any_order_of_results_linear_ends_and_no_host_runs_a_task_twice(
    tree: list[Node], seed: int, percentage: float | None
) -> None:
    choose = random.Random(seed)
    strategy = linear(tree, percentage=percentage)
    ran: dict[str, list[str]] = {host: [] for host in HOSTS}
    order = [item.id for item in tasks_of(tree)]
    while (step := strategy.next()) is not None:
        hosts = list(step.hosts)
        choose.shuffle(hosts)
        assert set(hosts) <= set(HOSTS) - strategy.batch.unreachable
        for host in hosts:
            ran[host].append(step.task.id)
            verdict = choose.choice([Verdict.OK] * 6 + [Verdict.FAILED, Verdict.UNREACHABLE])
            strategy.feed(host, TaskEnd(verdict=verdict, fatal=choose.random() < 0.05))

    for names in ran.values():
        assert names == sorted(set(names), key=order.index)
    strategy.batch.close()
    for host, cursor in strategy.batch.cursors.items():
        assert strategy.stop or cursor.current is None or host in strategy.batch.unreachable


@given(nodes(), st.lists(st.tuples(VERDICTS, EFFECTS), max_size=60), st.integers())
def test_in_any_interleaving_free_ends_every_host_exactly_once(
    tree: list[Node], ends: list[tuple[Verdict, Effect]], seed: int
) -> None:
    choose = random.Random(seed)
    strategy = Free(tree, HOSTS, handlers=Handlers())
    ran: dict[str, list[str]] = {host: [] for host in HOSTS}
    out: dict[str, Task] = {}
    results = iter(ends)
    limit = 4 * len(HOSTS) * (1 + len(list(tasks_of(tree))))
    while True:
        assert limit > 0
        limit -= 1
        for host in strategy.ready():
            step = strategy.next(host)
            assert step is not None
            ran[host].append(step.task.id)
            out[host] = step.task
        if not out:
            break
        host = choose.choice(list(out))
        del out[host]
        verdict, effect = next(results, (Verdict.OK, Effect.NONE))
        strategy.feed(host, TaskEnd(verdict=verdict, effect=effect))

    for names in ran.values():
        assert len(names) == len(set(names))
