"""test_run: a run without its streams: deadlines, cancels, bugs, and a ctl or watcher that does not keep up."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping

import pytest

from pybible.server.controller.dispatch.router import Router
from pybible.server.controller.runs.events import EventLog, TooSlow, Watcher, count_events
from pybible.server.controller.runs.history import History, Work
from pybible.server.controller.runs.ids import new_run_id, wire_id
from pybible.server.controller.runs.outgoing import Outgoing
from pybible.server.controller.runs.run import Run, RunSettings, RunTerms
from pybible.server.controller.sessions.attempts import Attempt, Verdict
from pybible.server.controller.store.runs import RunRecord, RunState, StoredBatch
from pybible.server.results.audit import AuditEntry
from pybible.server.results.events import HostResult, Included, RunEvent, Status, encode_event
from pybible.server.results.recap import HostRecap, Recap
from pybible.v1 import agent_pb2, run_pb2
from pybible.wire.errors import ProtocolError


class KeptHistory(History):
    """A history that stays in memory."""

    is_full = False

    def __init__(self) -> None:
        self.runs: list[RunRecord] = []
        self.batches: list[StoredBatch] = []

    def run(self, record: RunRecord) -> None:
        """Keep it."""
        self.runs.append(record)

    def attempt(self, attempt: Attempt) -> None:
        """Forget it."""

    def events(self, batch: StoredBatch, *, stored: Callable[[int], None] | None = None) -> None:
        """Keep it."""
        self.batches.append(batch)

    def recap(self, run_id: str, counts: Mapping[str, HostRecap]) -> None:
        """Forget it."""

    def note(self, entry: AuditEntry) -> None:
        """Forget it."""

    def dispatched(self, work: Work, *, host: str, attempt_id: str) -> None:
        """Forget it."""

    def then(self, say: Callable[[], None]) -> None:
        """Say it."""
        say()


class DeafRouter(Router):
    """A router whose agents take everything and answer nothing."""

    def __init__(self) -> None:
        self.out: list[Attempt] = []
        self.cancelled: list[str] = []
        self.abandoned: list[str] = []
        self.failure: Exception | None = None

    def dispatch(self, attempt: Attempt) -> None:
        """Take it."""
        if self.failure is not None:
            raise self.failure
        self.out.append(attempt)
        attempt.owner.dispatched(attempt)

    def cancel(self, attempt: Attempt) -> None:
        """Take note."""
        attempt.cancelling = True
        self.cancelled.append(attempt.name)

    def abandon(self, attempt: Attempt) -> None:
        """Take note."""
        self.abandoned.append(attempt.name)


SETTINGS = RunSettings(deadline_slack=0.02, cancel_seconds=0.02, farewell_seconds=0.02)


class World:
    """A run and all that it touches."""

    def __init__(self, *, forks: int = 2) -> None:
        self.router = DeafRouter()
        self.history = KeptHistory()
        self.over = asyncio.Event()
        record = RunRecord(
            run_id=new_run_id(),
            name="test",
            operator="me",
            forks=forks,
            check_mode=False,
            state=RunState.RUNNING,
            started=time.time(),
        )
        self.run = Run(
            record,
            RunTerms(disconnect_grace=1.0),
            settings=SETTINGS,
            router=self.router,
            history=self.history,
            ended=lambda _run: self.over.set(),
        )

    def submit(self, *names: str, timeout: float = 0.0) -> None:
        batch = run_pb2.AttemptBatch()
        for name in names:
            message = batch.attempts.add(attempt_id=name, task_id="t", host="h", agent="web01")
            message.task.module = "ping"
            if timeout:
                message.task.timeout.nanos = int(timeout * 1e9)
        self.run.submit(batch)

    async def ended(self, count: int) -> dict[str, str]:
        """Wait for so many ends; return the reasons."""
        found: dict[str, str] = {}
        async with asyncio.timeout(5):
            while len(found) < count:
                message = await self.run.outgoing.take()
                assert message is not None
                for update in message.updates.updates:
                    if update.HasField("ended"):
                        found[update.attempt_id] = update.ended.reason
        return found


async def test_a_task_that_outlives_its_timeout_is_ended_by_the_controller() -> None:
    world = World(forks=1)
    world.submit("a", "b", timeout=0.01)
    assert await world.ended(2) == {"a": "timed_out", "b": "timed_out"}
    assert world.router.abandoned == ["a", "b"]


async def test_an_agent_that_does_not_end_what_was_cancelled_does_not_keep_the_slot() -> None:
    world = World(forks=1)
    world.submit("a", "b")
    world.run.cancel_attempts(["a"])
    assert world.router.cancelled == ["a"]
    assert await world.ended(1) == {"a": "cancelled"}
    assert [attempt.name for attempt in world.router.out] == ["a", "b"]


async def test_a_cancelled_run_ends_even_if_neither_ctl_nor_agent_does_anything() -> None:
    world = World(forks=1)
    world.submit("a", "b")
    world.run.cancel("enough")
    async with asyncio.timeout(5):
        await world.over.wait()
    assert (world.run.record.state, world.run.record.error) == (RunState.CANCELLED, "enough")
    assert world.run.out == 0


async def test_a_run_ends_only_when_nothing_of_it_is_out() -> None:
    world = World()
    world.submit("a")
    world.run.ctl_gone()
    assert not world.over.is_set()
    world.run.ended(world.router.out[0], Verdict(reason="cancelled"))
    assert world.over.is_set()
    assert world.run.record.state is RunState.INTERRUPTED


async def test_the_first_verdict_counts() -> None:
    world = World()
    world.submit("a")
    [attempt] = world.router.out
    world.run.ended(attempt, Verdict(reason="lost_mid_task"))
    world.run.ended(attempt, Verdict())
    assert await world.ended(1) == {"a": "lost_mid_task"}
    assert attempt.verdict == Verdict(reason="lost_mid_task")


async def test_a_bug_in_the_controller_is_that_attempts_result() -> None:
    world = World(forks=1)
    world.router.failure = RuntimeError("oops")
    world.submit("a", "b")
    message = await world.run.outgoing.take()
    assert message is not None
    ends = [update.ended for update in message.updates.updates if update.HasField("ended")]
    assert [end.reason for end in ends] == ["internal_error"] * 2
    assert b"RuntimeError: oops" in ends[0].inline


@pytest.mark.parametrize(
    "attempt",
    [
        run_pb2.Attempt(task_id="t", host="h"),
        run_pb2.Attempt(attempt_id="x" * 300, task_id="t", host="h"),
        run_pb2.Attempt(attempt_id="a", task_id="t", host="h", agent="web01"),
        run_pb2.Attempt(attempt_id="a", task_id="t", host="h", agent="web01", same_as=7, has_same_as=True),
    ],
    ids=["no name", "long name", "no task", "no such task"],
)
async def test_what_is_no_attempt_is_refused(attempt: run_pb2.Attempt) -> None:
    with pytest.raises(ProtocolError):
        World().run.submit(run_pb2.AttemptBatch(attempts=[attempt]))


async def test_nothing_more_goes_out_while_ctl_does_not_read_results() -> None:
    world = World(forks=1)
    world.submit(*(f"a{number}" for number in range(100)))
    content = b"x" * 1024 * 1024
    while not world.run.outgoing.is_full:
        world.run.ended(world.router.out[-1], Verdict(content=content))
    out = len(world.router.out)
    assert world.run.out == 0
    for _ in range(5):
        await world.run.outgoing.take()
    world.run.resume()
    assert len(world.router.out) == out + 1


async def test_output_that_ctl_does_not_read_is_dropped_and_counted() -> None:
    outgoing = Outgoing()
    chunk = agent_pb2.Output(data=b"x" * 1024 * 1024)
    for _ in range(6):
        outgoing.output("a", chunk)
    dropped = [update.output.dropped for _ in range(3) for update in await _updates(outgoing)]
    outgoing.output("a", agent_pb2.Output(data=b"end", dropped=1))
    dropped += [update.output.dropped for update in await _updates(outgoing)]
    assert dropped == [0, 0, 0, 3 * 1024 * 1024 + 1]


async def _updates(outgoing: Outgoing) -> list[run_pb2.AttemptUpdate]:
    message = await outgoing.take()
    assert message is not None
    return list(message.updates.updates)


async def test_messages_stay_small_and_in_order() -> None:
    outgoing = Outgoing()
    for number in range(10):
        outgoing.ended(f"a{number}", Verdict(content=b"x" * 500_000))
    outgoing.say(run_pb2.ExecuteResponse(finished=run_pb2.RunFinished()))
    outgoing.close()
    names: list[str] = []
    while (message := await outgoing.take()) is not None:
        assert message.ByteSize() < 2 * 1024 * 1024
        names += [update.attempt_id for update in message.updates.updates] or [message.WhichOneof("message") or ""]
    assert names == [*(f"a{number}" for number in range(10)), "finished"]


async def test_a_watcher_that_does_not_keep_up_is_dropped() -> None:
    history = KeptHistory()
    events = EventLog("r", history)
    slow, quick = events.watch(), events.watch()
    assert slow is not None
    assert quick is not None
    for number in range(1_001):
        events.append(run_pb2.EventBatch(events=[b"{}"]), moment=0.0)
        batch = await quick.next()
        assert batch is not None
        assert batch.first_seq == number + 1
    with pytest.raises(TooSlow):
        await slow.next()
    events.end()
    assert await quick.next() is None
    assert len(history.batches) == 1_001


async def test_a_watcher_that_waits_is_woken_by_the_end() -> None:
    watcher = Watcher()
    asyncio.get_running_loop().call_soon(watcher.end)
    assert await watcher.next() is None


def test_counts_of_batches_add_up_to_the_counts_of_all() -> None:
    events: list[RunEvent] = [
        HostResult(task_id="t", host="a", status=Status.OK, result={"changed": True}),
        HostResult(task_id="t", host="b", status=Status.FAILED, ignored=True),
        Included(task_id="t", name="x.yml", hosts=("a", "b")),
        HostResult(task_id="t", host="b", status=Status.UNREACHABLE),
        HostResult(task_id="t", host="a", status=Status.SKIPPED),
    ]
    whole, parts = Recap(), Recap()
    whole.count(events)
    for event in events:
        part = Recap()
        count_events(part, [encode_event(event), b"nonsense"])
        parts.merge(part)
    assert parts == whole
    assert whole.hosts["b"] == HostRecap(ok=2, unreachable=1, ignored=1)


def test_ids_of_runs_are_ordered_by_time() -> None:
    ids = [new_run_id(milliseconds=moment) for moment in range(1_700_000_000_000, 1_700_000_000_050)]
    assert ids == sorted(ids)
    assert {uuid.UUID(item).version for item in ids} == {7}
    assert {uuid.UUID(item).variant for item in ids} == {uuid.RFC_4122}


def test_an_attempts_name_on_the_wire_is_unique_beyond_its_run() -> None:
    assert wire_id("run", "a1") == "run:a1"
    assert wire_id("run", "run.1") == "run.1"
