"""test_outbox: few messages, none too large, nothing lost, in order."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pybible.server.client.outbox import ATTEMPT_BYTES, Outbox, QueuedAttempt
from pybible.server.engine.dispatcher import Target
from pybible.server.results.events import HostResult, HostStarted, PlaybookStarted, Status, decode_event
from pybible.v1 import run_pb2
from pybible.wire.channel import MESSAGE_BYTES
from pybible.wire.convert import spec_from_pb
from pybible.wire.tasks import TaskSpec

PING = TaskSpec(module="ping", args=b"{}")


def attempt(number: int, spec: TaskSpec = PING, *, task_id: str = "t1", agent: str | None = None) -> QueuedAttempt:
    name = f"h{number}"
    target = Target(host=name, agent=name if agent is None else agent)
    return QueuedAttempt(attempt_id=f"a{number}", task_id=task_id, target=target, spec=spec)


def specs_of(batch: run_pb2.AttemptBatch) -> list[TaskSpec]:
    """Return what each attempt runs, as the controller works it out."""
    return [
        spec_from_pb(batch.attempts[each.same_as].task if each.has_same_as else each.task) for each in batch.attempts
    ]


def test_the_same_task_goes_once_for_many_hosts() -> None:
    outbox = Outbox()
    for number in range(50):
        outbox.attempt(attempt(number))
    (request,) = outbox.drain()
    batch = request.attempts
    assert [each.has_same_as for each in batch.attempts] == [False] + [True] * 49
    assert specs_of(batch) == [PING] * 50
    assert not outbox


def test_tasks_that_differ_only_beside_their_arguments_are_not_mixed_up() -> None:
    specs = [PING, replace(PING, check=True), PING, replace(PING, environment={"A": "1"}), PING]
    outbox = Outbox()
    for number, spec in enumerate(specs):
        outbox.attempt(attempt(number, spec))
    (request,) = outbox.drain()
    assert specs_of(request.attempts) == specs


def test_what_runs_on_the_control_node_stays_there() -> None:
    outbox = Outbox()
    outbox.attempt(attempt(1, replace(PING, args=b'{"secret":1}'), agent=""))
    (request,) = outbox.drain()
    assert not request.attempts.attempts[0].HasField("task")


def test_an_attempt_that_was_not_sent_is_cancelled_here() -> None:
    outbox = Outbox()
    outbox.attempt(attempt(1))
    outbox.attempt(attempt(2))
    outbox.cancel("a1")
    outbox.cancel("a0")
    requests = list(outbox.drain())
    assert [each.attempt_id for each in requests[0].attempts.attempts] == ["a2"]
    assert list(requests[1].cancel.attempt_ids) == ["a0"]


def test_what_was_cancelled_is_said_again_to_another_controller_and_ended_there() -> None:
    outbox = Outbox(keeps=True)
    attempts = [attempt(number) for number in range(3)]
    for each in attempts:
        outbox.attempt(each)
    list(outbox.drain())
    outbox.attempt(attempt(3))
    # The first was sent, and another controller is told of it; the last never was.
    assert [outbox.cancel("a0"), outbox.cancel("a3")] == [True, False]
    outbox.repeat(attempts, ended=(), stored=0, cancelled=["a0"])
    # That it waits to be sent again does not mean that nobody ever had it.
    assert outbox.cancel("a1")
    submitted, cancelled = outbox.drain()
    assert [(each.attempt_id, each.again) for each in submitted.attempts.attempts] == [
        ("a0", True), ("a1", True), ("a2", True),
    ]  # fmt: skip
    assert list(cancelled.cancel.attempt_ids) == ["a0", "a1"]


def test_the_end_comes_last_and_takes_the_events_along() -> None:
    outbox = Outbox()
    outbox.events([PlaybookStarted(path="x.yml"), HostStarted(task_id="t", host="h")])
    assert [request.WhichOneof("message") for request in outbox.drain(events=False)] == []
    outbox.finish(exit_status=2, error="")
    outbox.attempt(attempt(1))
    requests = list(outbox.drain(events=False))
    assert [request.WhichOneof("message") for request in requests] == ["attempts", "events", "finish"]
    assert [decode_event(event) for event in requests[1].events.events] == [PlaybookStarted(path="x.yml")]


@given(st.lists(st.integers(0, ATTEMPT_BYTES - 1000), max_size=6), st.lists(st.integers(0, 3_000_000), max_size=6))
def test_no_message_is_larger_than_the_wire_takes(attempts: list[int], events: list[int]) -> None:
    outbox = Outbox()
    for number, size in enumerate(attempts):
        outbox.attempt(attempt(number, replace(PING, args=b"x" * size)))
    outbox.events(
        HostResult(task_id="t", host="h", status=Status.OK, result={"stdout": "x" * size, "changed": True})
        for size in events
    )
    requests = list(outbox.drain())
    assert all(request.ByteSize() < MESSAGE_BYTES for request in requests)
    sent = [each.attempt_id for request in requests for each in request.attempts.attempts]
    assert sent == [f"a{number}" for number in range(len(attempts))]
    told = [decode_event(event) for request in requests for event in request.events.events]
    assert len(told) == len(events)
    assert all(isinstance(event, HostResult) and event.changed for event in told)
