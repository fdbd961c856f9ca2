"""test_runs: a run as a whole: its window, its events, its ends."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import grpc
import pytest
from sqlalchemy import Connection

from pybible.server.controller.store import runs as store
from pybible.server.controller.store.database import open_database
from pybible.server.controller.store.engine import sqlite_url
from pybible.server.results.events import Output, decode_event
from pybible.server.results.recap import COUNTS
from pybible.v1 import run_pb2, run_pb2_grpc
from pybible.wire.outcomes import Reason
from tests.support.controller import RunningController, controller, local_operator
from tests.support.fake_agent import PATIENCE, attached
from tests.support.fake_ctl import host_result, run
from tests.support.processes import until


async def _shown(c: RunningController, run_id: str) -> run_pb2.GetRunResponse:
    async with c.operator_channel() as channel:
        return await run_pb2_grpc.RunServiceStub(channel).GetRun(run_pb2.GetRunRequest(run_id=run_id))


async def _until_over(c: RunningController, run_id: str) -> run_pb2.GetRunResponse:
    async with asyncio.timeout(PATIENCE), c.operator_channel() as channel:
        async for _message in run_pb2_grpc.RunServiceStub(channel).WatchRun(run_pb2.WatchRunRequest(run_id=run_id)):
            pass
    return await _shown(c, run_id)


def _depth(attempts: list[run_pb2.AttemptRecord]) -> int:
    """Return how many attempts overlapped at most, by the history."""
    edges = [(item.dispatched.ToNanoseconds(), 1) for item in attempts]
    edges += [(item.ended.ToNanoseconds(), -1) for item in attempts]
    depth = deepest = 0
    for _moment, step in sorted(edges):
        depth += step
        deepest = max(deepest, depth)
    return deepest


async def test_never_more_than_forks_are_out_and_the_window_is_full_while_hosts_wait(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, forks=2) as ctl:
            names = await ctl.submit(*["web01"] * 7)
            out = [await agent.dispatch(), await agent.dispatch()]
            waiting = len(names) - len(out)
            while out:
                assert not agent.waiting("dispatch")
                await agent.result(out.pop(0).attempt_id)
                if waiting:
                    waiting -= 1
                    out.append(await agent.dispatch())
            for name in names:
                await ctl.end_of(name)
            await ctl.finish()
            shown = await _shown(c, ctl.run_id)
            assert len(shown.attempts) == 7
            assert _depth(list(shown.attempts)) == 2


async def test_an_attempt_on_the_control_node_takes_a_slot_until_its_result(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, run(c, forks=1) as ctl:
        first, second, third = await ctl.submit("", "", "")
        async with asyncio.timeout(PATIENCE):
            assert await ctl.granted.get() == first
            assert ctl.granted.empty()
            await ctl.local_result(first)
            assert await ctl.granted.get() == second
            # ctl ends what it runs itself when it cancels it: the slot is free at once.
            await ctl.cancel(second)
            assert await ctl.granted.get() == third
        await ctl.local_result(second)
        await ctl.local_result(third)
        assert (await ctl.finish()).state == run_pb2.RUN_STATE_FINISHED
        shown = await _shown(c, ctl.run_id)
        assert [(item.state, item.reason, item.agent) for item in shown.attempts] == [
            ("done", "", ""),
            ("done", "cancelled", ""),
            ("done", "", ""),
        ]


async def test_a_throttled_task_has_a_bound_of_its_own(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, run(c, forks=5) as ctl:
        first, second = await ctl.submit("", "", task_id="slow", throttle=1)
        [other] = await ctl.submit("", task_id="other")
        async with asyncio.timeout(PATIENCE):
            assert [await ctl.granted.get(), await ctl.granted.get()] == [first, other]
            assert ctl.granted.empty()
            await ctl.local_result(first)
            assert await ctl.granted.get() == second


async def test_the_recap_is_counted_from_the_events(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, run(c) as ctl:
        await ctl.publish(host_result("web01", changed=True), b'{"type":"host_started","task_id":"t1","host":"x"}')
        await ctl.publish(host_result("web01"), host_result("web02", status="failed"), b"not an event")
        finished = await ctl.finish(exit_status=2)
        recap = {line.host: [getattr(line, name) for name in COUNTS] for line in finished.recap}
        assert recap == {"web01": [2, 1, 0, 0, 0, 0, 0], "web02": [0, 0, 0, 1, 0, 0, 0]}
        shown = await _shown(c, ctl.run_id[:20])
        assert (shown.run.exit_status, shown.run.name, shown.run.operator) == (2, "test.yml", local_operator())
        assert shown.run.recap == finished.recap


async def test_a_watcher_sees_all_events_those_before_it_too(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, run(c) as ctl:
        await ctl.publish(host_result("a"), host_result("b"))
        watch = ctl.stub.WatchRun(run_pb2.WatchRunRequest(run_id=ctl.run_id))
        later = ctl.stub.WatchRun(run_pb2.WatchRunRequest(run_id=ctl.run_id, from_seq=2))
        never = ctl.stub.WatchRun(run_pb2.WatchRunRequest(run_id=ctl.run_id, from_seq=2**64 - 1))
        async with asyncio.timeout(PATIENCE):
            seen = aiter(watch)
            first = await anext(seen)
            assert (first.event.seq, first.event.event) == (1, host_result("a"))
            await ctl.publish(host_result("c"))
            await ctl.finish()
            rest = [message async for message in seen]
            assert [message.event.seq for message in rest[:-1]] == [2, 3]
            assert rest[-1].finished.state == run_pb2.RUN_STATE_FINISHED
            assert [message.event.event async for message in later][:-1] == [host_result("b"), host_result("c")]
            assert [message.WhichOneof("message") async for message in never] == ["finished"]


async def test_a_run_whose_ctl_goes_away_is_interrupted_and_what_ran_is_cancelled(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, forks=1) as ctl:
            await ctl.submit("web01", "web01")
            dispatch = await agent.dispatch()
            await agent.accept(dispatch)
            await ctl.gone()
            assert (await agent.next("cancel")).cancel.attempt_id == dispatch.attempt_id
            await agent.result(dispatch.attempt_id, b'{"failed":true}', reason="cancelled")
            shown = await _until_over(c, ctl.run_id)
            assert shown.run.state == run_pb2.RUN_STATE_INTERRUPTED
            assert shown.run.error == "pybible-ctl went away"
            assert [(item.state, item.reason) for item in shown.attempts] == [("done", "cancelled")] * 2
            assert not agent.waiting("dispatch")


async def test_an_operator_cancels_a_run(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, forks=1) as ctl:
            out, waiting = await ctl.submit("web01", "web01")
            dispatch = await agent.dispatch()
            await ctl.stub.CancelRun(run_pb2.CancelRunRequest(run_id=ctl.run_id))
            async with asyncio.timeout(PATIENCE):
                await ctl.cancelled.wait()
            assert (await ctl.end_of(waiting)).reason == Reason.CANCELLED
            await agent.next("cancel")
            await agent.result(dispatch.attempt_id, b'{"failed":true}', reason="cancelled")
            assert (await ctl.end_of(out)).reason == Reason.CANCELLED
            [late] = await ctl.submit("web01")
            assert (await ctl.end_of(late)).reason == Reason.CANCELLED
            assert (await ctl.finish(exit_status=99)).state == run_pb2.RUN_STATE_CANCELLED


async def test_a_run_that_an_error_ended_has_failed(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, run(c) as ctl:
        assert (await ctl.finish(exit_status=250, error="a bug")).state == run_pb2.RUN_STATE_FAILED
        assert (await _shown(c, ctl.run_id)).run.error == "a bug"


async def test_a_controller_that_stops_tells_its_runs_and_its_agents(tmp_path: Path) -> None:
    async with AsyncExitStack() as daemon:
        c = await daemon.enter_async_context(controller(tmp_path))
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [name] = await ctl.submit("web01")
            dispatch = await agent.dispatch()
            async with asyncio.TaskGroup() as group:
                group.create_task(daemon.aclose())
                async with asyncio.timeout(PATIENCE):
                    await ctl.cancelled.wait()
                await agent.next("cancel")
                await agent.result(dispatch.attempt_id, b'{"failed":true}', reason="cancelled")
                assert (await ctl.end_of(name)).reason == Reason.CANCELLED
                assert (await ctl.finish(exit_status=1)).state == run_pb2.RUN_STATE_INTERRUPTED
                await agent.next("reconnect")
    async with controller(tmp_path) as c:
        assert (await _shown(c, ctl.run_id)).run.error == "controller shuts down"


async def test_without_a_window_a_run_that_a_dead_controller_left_is_interrupted_at_once(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            await ctl.submit("web01")
            await ctl.publish(host_result("web01", changed=True))
            await agent.dispatch()
            await _shown(c, ctl.run_id)
            _leave(tmp_path)
    async with controller(tmp_path / "killed", recovery_window=0.0) as c:
        shown = await _shown(c, ctl.run_id)
        assert shown.run.state == run_pb2.RUN_STATE_INTERRUPTED
        assert [(item.state, item.reason) for item in shown.attempts] == [("done", "interrupted")]
        assert [(line.host, line.ok, line.changed) for line in shown.run.recap] == [("web01", 1, 1)]


async def test_an_operator_s_cancel_holds_when_the_controller_dies_before_the_run_has_ended(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            await ctl.submit("web01")
            await agent.dispatch()
            await ctl.stub.CancelRun(run_pb2.CancelRunRequest(run_id=ctl.run_id))
            _leave(tmp_path)
    async with controller(tmp_path / "killed") as c:
        shown = await _shown(c, ctl.run_id)
    assert (shown.run.state, shown.run.error) == (run_pb2.RUN_STATE_CANCELLED, f"cancelled by {local_operator()}")
    assert [item.state for item in shown.attempts] == ["done"]


def _leave(folder: Path) -> None:
    """Put what a controller that is killed now leaves behind into `killed`."""
    ignore = shutil.ignore_patterns("*.sock*")
    shutil.copytree(folder / "controller", folder / "killed" / "controller", ignore=ignore)


async def test_a_request_that_is_none_ends_the_run(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, c.operator_channel() as channel:
        call = run_pb2_grpc.RunServiceStub(channel).Execute()
        await call.write(run_pb2.ExecuteRequest(finish=run_pb2.FinishRun()))
        assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_attempt_that_is_submitted_twice_ends_the_run(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, c.operator_channel() as channel:
        call = run_pb2_grpc.RunServiceStub(channel).Execute()
        await call.write(run_pb2.ExecuteRequest(start=run_pb2.StartRun(name="x", forks=1)))
        batch = run_pb2.AttemptBatch(attempts=[run_pb2.Attempt(attempt_id="a", task_id="t", host="h")] * 2)
        await call.write(run_pb2.ExecuteRequest(attempts=batch))
        async with asyncio.timeout(PATIENCE):
            # The status comes behind all that is to be read.
            with suppress(grpc.aio.AioRpcError):
                while await call.read() is not grpc.aio.EOF:
                    pass
            assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert "twice" in (await call.details() or "")


@pytest.mark.parametrize("wanted", ["0000", ""])
async def test_a_run_that_is_not_there_is_not_found(tmp_path: Path, wanted: str) -> None:
    async with controller(tmp_path) as c:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await _shown(c, wanted)
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND


async def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        ids = []
        for _ in range(3):
            async with run(c) as ctl:
                await ctl.finish()
                ids.append(ctl.run_id)
        async with c.operator_channel() as channel:
            stub = run_pb2_grpc.RunServiceStub(channel)
            listed = await stub.ListRuns(run_pb2.ListRunsRequest())
            assert [item.run_id for item in listed.runs] == sorted(ids, reverse=True)
            older = await stub.ListRuns(run_pb2.ListRunsRequest(limit=1, before_run_id=max(ids)))
            assert [item.run_id for item in older.runs] == sorted(ids, reverse=True)[1:2]


async def test_a_run_is_found_by_a_beginning_an_end_or_as_the_latest(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        async with run(c) as ctl:
            first = ctl.run_id
            await ctl.finish()
        async with run(c) as ctl:
            second = ctl.run_id
            await ctl.finish()
        assert (await _shown(c, first[-8:])).run.run_id == first
        assert (await _shown(c, first[-8:].upper())).run.run_id == first
        assert (await _shown(c, second[:23])).run.run_id == second
        assert (await _shown(c, "latest")).run.run_id == second
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _shown(c, first[:6])
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        expected = f"more than one run begins or ends with '{first[:6]}': {second} (test.yml), {first} (test.yml)"
        assert caught.value.details() == expected


async def test_without_any_run_there_is_no_latest(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        with pytest.raises(grpc.aio.AioRpcError, match="there is no run yet"):
            await _shown(c, "latest")


async def test_who_cancels_is_named_and_a_run_that_is_over_stays_as_it_is(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, c.operator_channel() as channel:
        stub = run_pb2_grpc.RunServiceStub(channel)
        async with run(c) as ctl:
            answer = await stub.CancelRun(run_pb2.CancelRunRequest(run_id="latest"))
            assert (answer.run.error, answer.was_over) == (f"cancelled by {local_operator()}", False)
            await ctl.finish()
        answer = await stub.CancelRun(run_pb2.CancelRunRequest(run_id=ctl.run_id))
        assert (answer.run.state, answer.was_over) == (run_pb2.RUN_STATE_CANCELLED, True)
        assert answer.run.error == f"cancelled by {local_operator()}"


async def _stored(folder: Path) -> list[tuple[str, str, str]]:
    """Return what a controller left of its runs: state, error, and the state of the attempt."""
    async with open_database(sqlite_url(folder / "controller" / "controller.db")) as database:

        def read(connection: Connection) -> list[tuple[str, str, str]]:
            return [
                (run.state, run.error, attempt.state)
                for run in store.newest(connection, limit=9)
                for attempt in store.attempts_of(connection, run.run_id)
            ]

        return await database.read(read)


@pytest.mark.parametrize("hurried", [False, True])
async def test_a_controller_that_ends_leaves_no_run_running(
    tmp_path: Path, hurried: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Its agent does not obey and its ctl stays. `hurried`: whoever ends it does not wait, as at a second ^C."""
    caplog.set_level("INFO")
    over = asyncio.Event()

    async def serve() -> None:
        try:
            drain = 30.0 if hurried else 0.2
            async with controller(tmp_path, drain_timeout=drain) as c, AsyncExitStack() as stack:
                agent = await stack.enter_async_context(attached(c, await c.enrol("web01")))
                ctl = await stack.enter_async_context(run(c))
                await ctl.submit("web01")
                await agent.dispatch()
                # They outlive the controller.
                others.push_async_exit(stack.pop_all())
        finally:
            over.set()

    async with asyncio.timeout(PATIENCE), AsyncExitStack() as others:
        serving = asyncio.create_task(serve())
        if hurried:
            await until(lambda: "controller stopping" in caplog.messages)
            serving.cancel()
        await over.wait()
        with suppress(asyncio.CancelledError):
            await serving
        with suppress(Exception):
            await others.aclose()
    assert await _stored(tmp_path) == [("interrupted", "controller shuts down", "done")]


async def test_what_tasks_print_is_shown_to_watchers_and_kept_from_a_ctl_that_does_not_want_it(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, live_output=False) as ctl, asyncio.timeout(PATIENCE):
            [name] = await ctl.submit("web01", output_limit=100)
            dispatch = await agent.dispatch()
            await ctl.publish(host_result("other"))
            seen = aiter(ctl.stub.WatchRun(run_pb2.WatchRunRequest(run_id="latest")))
            assert (await anext(seen)).event.seq == 1
            await agent.output(dispatch.attempt_id, b"h\xc3")
            await agent.output(dispatch.attempt_id, b"\xa9\n")
            printed = [(await anext(seen)).event for _part in range(2)]
            assert [event.seq for event in printed] == [0, 0]
            assert [decode_event(event.event) for event in printed] == [
                Output(task_id="t1", host="web01", stream="stdout", text=text) for text in ("h", "\u00e9\n")
            ]
            await agent.result(dispatch.attempt_id)
            await ctl.end_of(name)
            await ctl.publish(host_result("web01"))
            await ctl.finish()
            assert [message.event.seq async for message in seen if message.HasField("event")] == [2]
            assert ctl.outputs == []


async def test_a_list_says_how_many_hosts_a_run_had_and_not_which(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        async with run(c) as ctl:
            await ctl.publish(host_result("web01"), host_result("web02"))
            await ctl.submit("")
            await ctl.granted.get()
            [during] = await c.runs()
            await ctl.cancel()
            await ctl.finish()
        [after] = await c.runs()
        assert [line.host for line in (await _shown(c, ctl.run_id)).run.recap] == ["web01", "web02"]
    async with controller(tmp_path) as c:
        [again] = await c.runs()
    assert (during.state, during.hosts) == (run_pb2.RUN_STATE_RUNNING, 2)
    assert after.state == again.state == run_pb2.RUN_STATE_FINISHED
    assert after.hosts == again.hosts == 2
    assert not during.recap
    assert not again.recap
