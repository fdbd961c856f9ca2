"""test_run_dispatcher: the engine's way to its hosts, over a real controller."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pybible.server.client.connection import Endpoint
from pybible.server.client.opener import ControllerOpener
from pybible.server.client.run_dispatcher import RunDispatcher
from pybible.server.engine.dispatcher import RunRequest, Target
from pybible.server.results.events import HostResult, Status
from pybible.v1 import run_pb2, run_pb2_grpc
from pybible.wire.channel import INLINE_ATTACHMENT_BYTES
from pybible.wire.errors import ConnectionFailed
from pybible.wire.tasks import Attachment, TaskSpec
from tests.support.controller import RunningController, controller
from tests.support.fake_agent import FakeAgent, attached

PING = TaskSpec(module="ping", args=b"{}")
WEB01 = Target(host="web01", agent="web01")


@dataclass(frozen=True, slots=True)
class Setting:
    """An open run, its controller and the agents."""

    controller: RunningController
    opener: ControllerOpener
    dispatcher: RunDispatcher
    agents: dict[str, FakeAgent]


def opener_for(running: RunningController) -> ControllerOpener:
    return ControllerOpener(Endpoint.local(running.socket_path))


@asynccontextmanager
async def setting(folder: Path, *names: str, request: RunRequest | None = None) -> AsyncIterator[Setting]:
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(controller(folder))
        agents = {}
        for name in names:
            agents[name] = await stack.enter_async_context(attached(running, await running.enrol(name)))
        opener = opener_for(running)
        dispatcher = await stack.enter_async_context(opener.open(request or RunRequest(name="test", forks=5)))
        yield Setting(running, opener, dispatcher, agents)


async def answer(agent: FakeAgent, content: bytes = b'{"changed":true}', **more: str) -> None:
    dispatch = await agent.dispatch()
    await agent.accept(dispatch)
    await agent.result(dispatch.attempt_id, content, **more)


async def test_a_result_comes_back_decoded(tmp_path: Path) -> None:
    async with setting(tmp_path, "web01") as now, asyncio.timeout(20):
        running = asyncio.ensure_future(now.dispatcher.run(WEB01, PING, task_id="t1"))
        await answer(now.agents["web01"], b'{"changed":true,"n":1}')
        outcome = await running
        assert (outcome.result, outcome.reason, outcome.unreachable) == ({"changed": True, "n": 1}, "", False)


async def test_a_host_without_an_agent_is_unreachable(tmp_path: Path) -> None:
    async with setting(tmp_path) as now, asyncio.timeout(20):
        outcome = await now.dispatcher.run(Target(host="gone", agent="gone"), PING, task_id="t1")
        assert (outcome.reason, outcome.unreachable) == ("not_connected", True)
        assert outcome.result["unreachable"] is True


async def test_a_result_that_is_no_json_is_the_hosts_failure(tmp_path: Path) -> None:
    async with setting(tmp_path, "web01") as now, asyncio.timeout(20):
        running = asyncio.ensure_future(now.dispatcher.run(WEB01, PING, task_id="t1"))
        await answer(now.agents["web01"], b"garbage")
        outcome = await running
        assert outcome.reason == "bad_result"
        assert outcome.result["failed"] is True


async def test_the_same_task_for_many_hosts_arrives_whole_at_each(tmp_path: Path) -> None:
    spec = TaskSpec(module="command", args=b'{"_raw_params":"true"}', environment={"A": "1"})
    async with setting(tmp_path, "web01", "web02") as now, asyncio.timeout(20):
        runs = [
            asyncio.ensure_future(now.dispatcher.run(Target(host=name, agent=name), spec, task_id="t1"))
            for name in now.agents
        ]
        for agent in now.agents.values():
            dispatch = await agent.dispatch()
            assert (dispatch.task.args, dict(dispatch.task.environment)) == (spec.args, {"A": "1"})
            await agent.accept(dispatch)
            await agent.result(dispatch.attempt_id)
        assert [outcome.reason for outcome in await asyncio.gather(*runs)] == ["", ""]


async def test_output_comes_while_the_task_runs_letters_whole(tmp_path: Path) -> None:
    printed: list[tuple[str, str, int]] = []
    spec = TaskSpec(module="command", args=b"{}", output_limit=1000)
    async with setting(tmp_path, "web01") as now, asyncio.timeout(20):
        running = asyncio.ensure_future(
            now.dispatcher.run(WEB01, spec, task_id="t1", output=lambda *part: printed.append(part))
        )
        agent = now.agents["web01"]
        dispatch = await agent.dispatch()
        await agent.accept(dispatch)
        await agent.output(dispatch.attempt_id, "h\u00e9".encode()[:2])
        await agent.output(dispatch.attempt_id, "h\u00e9".encode()[2:])
        await agent.result(dispatch.attempt_id)
        await running
    assert "".join(text for _stream, text, _dropped in printed) == "h\u00e9"


async def test_cancelling_the_call_cancels_the_attempt(tmp_path: Path) -> None:
    async with setting(tmp_path, "web01") as now, asyncio.timeout(20):
        running = asyncio.ensure_future(now.dispatcher.run(WEB01, PING, task_id="t1"))
        agent = now.agents["web01"]
        dispatch = await agent.dispatch()
        await agent.accept(dispatch)
        assert now.dispatcher.out == ("web01",)
        running.cancel()
        assert (await agent.next("cancel")).cancel.attempt_id == dispatch.attempt_id
        assert not now.dispatcher.out


async def test_a_task_on_the_control_node_runs_here(tmp_path: Path) -> None:
    printed: list[str] = []
    spec = TaskSpec(module="command", args=b'{"argv":["sh","-c","echo here; sleep 0.4"]}', output_limit=1000)
    async with setting(tmp_path) as now, asyncio.timeout(30):
        outcome = await now.dispatcher.run(
            Target(host="localhost"), spec, task_id="t1", output=lambda stream, text, dropped: printed.append(text)
        )
        assert outcome.result["stdout"] == "here"
        recap = await now.dispatcher.finish(exit_status=0)
        assert recap.hosts == {}
    assert "".join(printed) == "here\n"


async def test_small_content_travels_inline_and_large_content_is_stored_once(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"abc")
    large.write_bytes(b"x" * (INLINE_ATTACHMENT_BYTES + 1))
    async with setting(tmp_path, "web01") as now, asyncio.timeout(20):
        assert (await now.dispatcher.attach(small)).inline == b"abc"
        attachment = await now.dispatcher.attach(large)
        assert attachment.inline is None
        assert attachment.sha256 == hashlib.sha256(large.read_bytes()).hexdigest()
        spec = TaskSpec(module="copy", args=b"{}", attachments=(attachment,))
        runs = [asyncio.ensure_future(now.dispatcher.run(WEB01, spec, task_id=f"t{number}")) for number in range(2)]
        for _run in runs:
            await answer(now.agents["web01"])
        await asyncio.gather(*runs)
        stored = [path for path in (tmp_path / "controller" / "blobs").rglob("*") if path.is_file()]
        assert [path.name for path in stored if attachment.sha256.endswith(path.name[-20:])]


async def test_content_that_is_gone_is_the_hosts_failure(tmp_path: Path) -> None:
    attachment = Attachment(sha256="0" * 64, size=10, path=str(tmp_path / "gone"))
    spec = TaskSpec(module="copy", args=b"{}", attachments=(attachment,))
    async with setting(tmp_path, "web01") as now, asyncio.timeout(20):
        outcome = await now.dispatcher.run(WEB01, spec, task_id="t1")
        assert outcome.reason == "content_missing"
        assert "gone can't be read" in outcome.result["msg"]


async def test_the_recap_is_the_controllers(tmp_path: Path) -> None:
    async with setting(tmp_path) as now, asyncio.timeout(20):
        event = HostResult(task_id="t1", host="h1", status=Status.OK, result={"changed": True})
        now.dispatcher.publish([event, event])
        recap = await now.dispatcher.finish(exit_status=0)
        assert (recap.hosts["h1"].ok, recap.hosts["h1"].changed) == (2, 2)


async def test_an_enormous_result_is_kept_in_short(tmp_path: Path) -> None:
    result = {"changed": True, "stdout": "x" * 5_000_000, "list": ["y" * 1000] * 1000}
    async with setting(tmp_path) as now, asyncio.timeout(20):
        now.dispatcher.publish([HostResult(task_id="t1", host="h1", status=Status.OK, result=result)])
        assert (await now.dispatcher.finish(exit_status=0)).hosts["h1"].changed == 1
        async with now.controller.operator_channel() as channel:
            stub = run_pb2_grpc.RunServiceStub(channel)
            watch = stub.WatchRun(run_pb2.WatchRunRequest(run_id=now.dispatcher.run_id))
            answers = [answer async for answer in watch]
        kept = json.loads(next(each.event.event for each in answers if b"host_result" in each.event.event))
        assert len(kept["result"]["stdout"]) == 1000
        assert "pybible_abridged" in kept["result"]


async def test_an_operators_cancel_is_seen_and_ends_what_is_out(tmp_path: Path) -> None:
    async with setting(tmp_path, "web01") as now, asyncio.timeout(20):
        running = asyncio.ensure_future(now.dispatcher.run(WEB01, PING, task_id="t1"))
        agent = now.agents["web01"]
        await agent.accept(await agent.dispatch())
        async with now.controller.operator_channel() as channel:
            stub = run_pb2_grpc.RunServiceStub(channel)
            await stub.CancelRun(run_pb2.CancelRunRequest(run_id=now.dispatcher.run_id))
        outcome = await running
        assert outcome.reason == "cancelled"
        assert now.dispatcher.cancelled


async def test_a_cancelled_block_cancels_the_run(tmp_path: Path) -> None:
    async with controller(tmp_path) as running, asyncio.timeout(20):
        opener = opener_for(running)
        opened = asyncio.Event()

        async def block() -> None:
            async with opener.open(RunRequest(name="test", forks=5)):
                opened.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(block())
        await opened.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with running.operator_channel() as channel:
            (found,) = (await run_pb2_grpc.RunServiceStub(channel).ListRuns(run_pb2.ListRunsRequest())).runs
        assert found.state == run_pb2.RUN_STATE_CANCELLED


async def test_a_controller_that_shuts_down_ends_the_run_and_then_answers_no_more(tmp_path: Path) -> None:
    async with AsyncExitStack() as outside, asyncio.timeout(30):
        running = await outside.enter_async_context(controller(tmp_path))
        async with opener_for(running).open(RunRequest(name="test", forks=1)) as dispatcher:
            here = TaskSpec(module="command", args=b'{"_raw_params":"sleep 30"}')
            task = asyncio.ensure_future(dispatcher.run(Target(host="localhost"), here, task_id="t1"))
            await asyncio.wait([task], timeout=0.5)
            await outside.aclose()
            assert (await task).reason == "cancelled"
            assert "shuts down" in dispatcher.cancelled
            with pytest.raises(ConnectionFailed, match="went away in the middle of run"):
                await dispatcher.finish(exit_status=0)
            with pytest.raises(ConnectionFailed):
                await dispatcher.run(WEB01, PING, task_id="t2")


async def test_no_controller_at_the_address_is_said_so(tmp_path: Path) -> None:
    opener = ControllerOpener(Endpoint.local(tmp_path / "none.sock"))
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionFailed, match="can't be reached"):
            async with opener.open(RunRequest(name="test", forks=5)):
                pass
        with pytest.raises(ConnectionFailed, match="can't be reached"):
            await opener.fleet()


async def test_the_fleet_is_the_enrolled_agents_with_their_labels(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        token = await running.controller.create_token(labels={"tier": "web"})
        await running.enrol("web01", token=token)
        assert await opener_for(running).fleet() == {"web01": {"tier": "web"}}


async def test_an_error_in_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        with pytest.raises(ZeroDivisionError):
            async with opener_for(running).open(RunRequest(name="test", forks=5)):
                raise ZeroDivisionError
