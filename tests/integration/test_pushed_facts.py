"""test_pushed_facts: facts that an agent tells by itself answer a run's question, as long as they can be right."""

from __future__ import annotations

import asyncio
import json
import zlib
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from tests.support.agent import running_agent
from tests.support.controller import RunningController, controller
from tests.support.fake_agent import FakeAgent, attached
from tests.support.fake_controller import fake_controller
from tests.support.fake_ctl import FakeCtl, run


async def heard(agent: FakeAgent) -> None:
    """Wait until the controller has heard all that the agent said."""
    await agent.heartbeat()
    await agent.next("heartbeat_ack")


async def is_answered(agent: FakeAgent, ctl: FakeCtl, *, within: int = 60, user: str = "") -> bool:
    """Tell whether a question is answered from what was pushed, or the agent is asked."""
    [name] = await ctl.submit("web01", module="setup", become=user, facts_within=within)

    async def answer() -> None:
        await agent.result((await agent.dispatch()).attempt_id)

    async with asyncio.TaskGroup() as group:
        asked = group.create_task(answer())
        ended = await ctl.end_of(name)
        asked.cancel()
    return ended.HasField("facts")


async def test_facts_that_hold_answer_without_a_task(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, agents=["web01"]) as ctl:
            await agent.facts(b"deflated", age=3)
            await heard(agent)
            [name] = await ctl.submit("web01", module="setup", facts_within=60)
            ended = await ctl.end_of(name)
            assert (ended.facts.facts, ended.facts.moving) == (b"deflated", b'{"moves":1}')
            assert timedelta(seconds=3) <= ended.facts.age.ToTimedelta() < timedelta(seconds=30)
            assert agent.waiting("dispatch") == 0


@pytest.mark.parametrize(
    ("age", "within", "user", "expected"),
    [(3, 60, "", True), (3, 60, "root", True), (3, 60, "postgres", False), (90, 60, "", False), (3, 0, "", False)],
    ids=["fresh", "the same user", "another user", "too old", "not wanted"],
)
async def test_facts_answer_only_what_they_are(
    tmp_path: Path, age: float, within: int, user: str, expected: bool
) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, agents=["web01"]) as ctl:
            await agent.facts(b"deflated", age=age)
            await heard(agent)
            assert await is_answered(agent, ctl, within=within, user=user) is expected


async def test_facts_do_not_hold_after_a_task_until_they_are_told_again(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, agents=["web01"]) as ctl:
            await agent.facts(b"deflated")
            await heard(agent)
            [name] = await ctl.submit("web01", module="command")
            dispatch = await agent.dispatch()
            # What was gathered before the end of the task is not to be believed.
            await agent.facts(b"deflated")
            await agent.result(dispatch.attempt_id)
            await ctl.end_of(name)
            assert not await is_answered(agent, ctl)
            await agent.facts(b"")
            await heard(agent)
            assert await is_answered(agent, ctl)


async def test_tasks_that_only_look_leave_facts_as_they_are(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, agents=["web01"]) as ctl:
            await agent.facts(b"deflated")
            await heard(agent)
            for module, check in (("stat", False), ("copy", True)):
                [name] = await ctl.submit("web01", module=module, check=check)
                await agent.result((await agent.dispatch()).attempt_id)
                await ctl.end_of(name)
            assert await is_answered(agent, ctl)


async def test_facts_of_an_earlier_session_are_not_used_and_still_shown(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent:
            await agent.facts(b"deflated")
            await heard(agent)
        async with attached(c, holder) as agent, run(c, agents=["web01"]) as ctl:
            assert not await is_answered(agent, ctl)
            assert (await facts_of(c)).facts == b"deflated"


async def test_facts_out_of_bounds_are_not_kept(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, agents=["web01"]) as ctl:
            await agent.facts(b"x" * (1024 * 1024 + 1))
            await agent.facts(b"deflated", digest=b"short")
            await agent.facts(b"", digest=b"e" * 32)
            await heard(agent)
            assert not await is_answered(agent, ctl)
            with pytest.raises(grpc.aio.AioRpcError, match="has pushed no facts"):
                await facts_of(c)


async def facts_of(c: RunningController) -> fleet_pb2.GetFactsResponse:
    """Ask the controller, once it has written down what it heard."""
    await c.controller._parts.runs._history.flush()
    async with c.operator_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        return await stub.GetFacts(fleet_pb2.GetFactsRequest(agent="web01"))


async def test_an_agent_tells_its_facts_when_it_attaches_and_after_a_task(tmp_path: Path) -> None:
    async with fake_controller() as fake, running_agent(fake.enrol(tmp_path / "web01"), facts_interval=600.0):
        session = await fake.session()
        first = (await session.expect("facts_changed")).facts_changed
        known = json.loads(zlib.decompress(first.facts))["ansible_facts"]
        moving = json.loads(first.moving)
        assert known["ansible_system"] == "Linux"
        assert "ansible_date_time" in moving
        assert not set(known) & set(moving)
        await session.dispatch("a1", "stat", args={"path": "/"})
        await session.result("a1")
        await session.dispatch("a2", "command", args={"_raw_params": "true"})
        await session.result("a2")
        again = (await session.expect("facts_changed")).facts_changed
        assert (again.digest, again.facts) == (first.digest, b"")
