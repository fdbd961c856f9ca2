"""test_store_full: a store that is full, read-only or slow: runs go on or end with a word, and no recap is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from sqlalchemy import Connection, event

from pybible.server.controller.runs.history import History
from pybible.server.controller.store import runs as store
from pybible.v1 import run_pb2, run_pb2_grpc
from tests.support.controller import RunningController, controller
from tests.support.fake_agent import FakeAgent, attached
from tests.support.fake_ctl import FakeCtl, host_result, run

_READ_ONLY = "the store can't be written to: attempt to write a readonly database"


async def _pragma(c: RunningController, text: str) -> None:
    """Set something on the one connection that writes."""
    await c.controller._parts.database.write(lambda connection: connection.exec_driver_sql(f"PRAGMA {text}"))


def _mend(c: RunningController) -> None:
    """Let the store take writes again: new connections know nothing of what was set on the old one."""
    c.controller._parts.database.engine.dispose()


def _history(c: RunningController) -> History:
    return c.controller._parts.history


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  the product tells nobody
            await asyncio.sleep(0.01)


async def _troubled(c: RunningController) -> None:
    await _until(lambda: bool(_history(c).trouble))


async def _written(c: RunningController) -> None:
    """Wait until all that waited is stored."""
    await _until(lambda: not _history(c).trouble)
    await _history(c).flush()


@asynccontextmanager
async def _site(folder: Path) -> AsyncIterator[tuple[RunningController, FakeAgent]]:
    async with controller(folder) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent:
            yield c, agent


async def _ping(ctl: FakeCtl, agent: FakeAgent) -> str:
    """Have one attempt answered, and its event told; return the name under which the agent knows it."""
    [name] = await ctl.submit("web01")
    dispatch = await agent.dispatch()
    await agent.result(dispatch.attempt_id)
    await ctl.end_of(name)
    await ctl.publish(host_result("web01"))
    return dispatch.attempt_id


async def test_a_run_goes_on_while_nothing_can_be_written_and_all_of_it_is_written_then(tmp_path: Path) -> None:
    async with _site(tmp_path) as (c, agent), run(c) as ctl:
        first = await _ping(ctl, agent)
        await _history(c).flush()
        acknowledged = [*(await agent.next("ack")).ack.attempt_ids]
        await _pragma(c, "query_only = ON")
        second = await _ping(ctl, agent)
        await _troubled(c)
        third = await _ping(ctl, agent)
        finished = await ctl.finish()
        waiting = agent.waiting("ack")
        async with c.operator_channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await run_pb2_grpc.RunServiceStub(channel).GetRun(run_pb2.GetRunRequest(run_id=ctl.run_id))
        _mend(c)
        await _written(c)
        acknowledged += [*(await agent.next("ack")).ack.attempt_ids]
        while len(acknowledged) < 3:
            acknowledged += [*(await agent.next("ack")).ack.attempt_ids]
        async with c.operator_channel() as channel:
            shown = await run_pb2_grpc.RunServiceStub(channel).GetRun(run_pb2.GetRunRequest(run_id=ctl.run_id))
    assert [(each.host, each.ok) for each in finished.recap] == [("web01", 3)]
    assert waiting == 0
    # The store says of it what is not true any more.
    assert unknown.value.details() == _READ_ONLY
    assert acknowledged == [first, second, third]
    assert [(each.host, each.ok) for each in shown.run.recap] == [("web01", 3)]
    assert shown.run.state == run_pb2.RUN_STATE_FINISHED
    assert [each.state for each in shown.attempts] == ["done"] * 3


async def test_no_run_begins_and_nobody_watches_while_nothing_can_be_written(tmp_path: Path) -> None:
    async with _site(tmp_path) as (c, _agent):
        async with run(c) as earlier:
            await earlier.finish()
        await _history(c).flush()
        await _pragma(c, "query_only = ON")
        # The first finds out; the second is refused for what is known.
        for _ in range(2):
            async with c.operator_channel() as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await FakeCtl(channel).start(run_pb2.StartRun(name="x", forks=1))
            assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, _READ_ONLY)
        async with c.operator_channel() as channel:
            stub: run_pb2_grpc.RunServiceAsyncStub = run_pb2_grpc.RunServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as unwatched:
                async for _ in stub.WatchRun(run_pb2.WatchRunRequest(run_id=earlier.run_id)):
                    pass
            # What is there can be read.
            shown = await stub.GetRun(run_pb2.GetRunRequest(run_id=earlier.run_id))
        _mend(c)
        await _written(c)
        async with run(c) as later:
            await later.finish()
    assert unwatched.value.details() == _READ_ONLY
    assert shown.run.state == run_pb2.RUN_STATE_FINISHED


async def test_a_full_disk_is_told_by_its_name(tmp_path: Path) -> None:
    async with _site(tmp_path) as (c, agent), run(c) as ctl:
        await _history(c).flush()
        # To as many as it has.
        await _pragma(c, "max_page_count = 1")
        for _ in range(3):
            await _ping(ctl, agent)
            await ctl.publish(b"x" * 100_000)
        await _troubled(c)
        trouble = _history(c).trouble
        finished = await ctl.finish()
        _mend(c)
        await _written(c)
        batches = await c.controller._parts.database.read(lambda connection: store.batches_of(connection, ctl.run_id))
    assert trouble == "the store can't be written to: database or disk is full"
    assert [(each.host, each.ok) for each in finished.recap] == [("web01", 3)]
    assert sum(batch.count for batch in batches) == 6


async def test_runs_end_with_a_word_when_memory_has_no_room_either(tmp_path: Path) -> None:
    async with _site(tmp_path) as (c, agent), run(c) as ctl:
        await _ping(ctl, agent)
        await _history(c).flush()
        _history(c)._backlog = 100_000
        await _pragma(c, "query_only = ON")
        await ctl.publish(*[b"x" * 10_000] * 20)
        async with asyncio.timeout(10):
            await ctl.cancelled.wait()
        finished = await ctl.finish()
        _mend(c)
        await _written(c)
        [listed] = await c.runs()
    assert finished.state == run_pb2.RUN_STATE_INTERRUPTED
    assert [(each.host, each.ok) for each in finished.recap] == [("web01", 1)]
    assert (listed.state, listed.error) == (run_pb2.RUN_STATE_INTERRUPTED, _READ_ONLY)


async def test_a_run_waits_for_a_store_that_is_slow(tmp_path: Path) -> None:
    async with _site(tmp_path) as (c, agent), run(c) as ctl:
        await _ping(ctl, agent)
        await _history(c).flush()
        engine = c.controller._parts.database.engine

        def slow(_connection: Connection) -> None:
            time.sleep(0.4)

        event.listen(engine, "commit", slow)
        _history(c)._backlog = 100_000
        await ctl.publish(*[b"x" * 10_000] * 20)
        [name] = await ctl.submit("web01")
        await _until(lambda: _history(c).is_full)
        held = agent.waiting("dispatch")
        # Written at last, and the run goes on by itself.
        dispatch = await agent.dispatch()
        event.remove(engine, "commit", slow)
        await agent.result(dispatch.attempt_id)
        await ctl.end_of(name)
        await ctl.publish(host_result("web01"))
        finished = await ctl.finish()
    assert held == 0
    assert [(each.host, each.ok) for each in finished.recap] == [("web01", 2)]
    assert not ctl.cancelled.is_set()


async def test_no_agent_is_let_in_that_the_store_can_t_know_of_and_those_that_are_stay(tmp_path: Path) -> None:
    async with _site(tmp_path) as (c, agent):
        other = await c.enrol("web02")
        await _pragma(c, "query_only = ON")
        async with attached(c, other, welcome=False) as late:
            denial = (await late.next("deny")).deny
        await agent.heartbeat()
        await agent.next("heartbeat_ack")
    assert denial.message == "the controller's store can't be written to"
    assert denial.retry_after.seconds == 5
