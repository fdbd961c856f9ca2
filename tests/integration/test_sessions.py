"""test_sessions: how a stream becomes a session, and how it ends."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pybible.v1 import agent_pb2, fleet_pb2, fleet_pb2_grpc, run_pb2
from pybible.wire.outcomes import Reason
from tests.support.controller import RunningController, controller
from tests.support.fake_agent import PATIENCE, RUNNING, FakeAgent, attached, until
from tests.support.fake_ctl import run


async def _agent(c: RunningController, name: str) -> fleet_pb2.Agent:
    async with c.operator_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        return (await stub.GetAgent(fleet_pb2.GetAgentRequest(agent=name))).agent


async def _denied(agent: FakeAgent) -> agent_pb2.Deny.Code.ValueType:
    code = (await agent.next("deny")).deny.code
    async with asyncio.timeout(PATIENCE):
        await agent.ended.wait()
    return code


async def test_the_welcome_carries_the_terms(tmp_path: Path) -> None:
    async with controller(tmp_path, heartbeat_interval=7.0) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder, incarnation="one", slots=8) as agent:
            welcome = agent.welcome
            assert (welcome.name, welcome.epoch, welcome.protocol) == ("web01", 1, 1)
            assert welcome.heartbeat_interval.seconds == 7
            assert welcome.lease.seconds == 21
            await agent.heartbeat()
            assert (await agent.next("heartbeat_ack")).heartbeat_ack.sequence == 1
            shown = await _agent(c, "web01")
            assert shown.state == fleet_pb2.SESSION_STATE_READY
            assert (shown.incarnation, shown.slots, shown.load, shown.epoch) == ("one", 8, 0.5, 1)
            assert list(shown.modules) == ["ping", "command"]


async def test_every_session_has_a_higher_epoch_across_restarts_of_the_controller(tmp_path: Path) -> None:
    epochs = []
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        for _ in range(2):
            async with attached(c, holder) as agent:
                epochs.append(agent.welcome.epoch)
    async with controller(tmp_path) as c, attached(c, holder) as agent:
        epochs.append(agent.welcome.epoch)
    assert epochs == [1, 2, 3]


async def test_the_newest_stream_of_an_agent_wins(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder, incarnation="one") as old, attached(c, holder, incarnation="one") as new:
            assert await _denied(old) == agent_pb2.Deny.CODE_SUPERSEDED
            async with run(c) as ctl:
                [name] = await ctl.submit("web01")
                await new.result((await new.dispatch()).attempt_id)
                assert (await ctl.end_of(name)).reason == ""


async def test_two_live_copies_of_an_identity_are_quarantined(tmp_path: Path) -> None:
    async with controller(tmp_path) as c, AsyncExitStack() as copies:
        holder = await c.enrol("web01")
        current = await copies.enter_async_context(attached(c, holder, incarnation="0"))
        for number in range(1, 4):
            newer = await copies.enter_async_context(attached(c, holder, incarnation=str(number)))
            assert await _denied(current) == agent_pb2.Deny.CODE_SUPERSEDED
            current = newer
        async with attached(c, holder, incarnation="4", welcome=False) as last:
            assert await _denied(last) == agent_pb2.Deny.CODE_QUARANTINED
        assert await _denied(current) == agent_pb2.Deny.CODE_QUARANTINED
        assert (await _agent(c, "web01")).state == fleet_pb2.SESSION_STATE_QUARANTINED
        async with run(c) as ctl:
            [name] = await ctl.submit("web01")
            assert "quarantined" in (await ctl.result_of(name))["msg"]


async def test_an_agent_of_another_protocol_is_refused(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with c.channel(holder) as channel:
            agent = FakeAgent(channel, incarnation="one")
            await agent.hello(protocol=99)
            await agent.read()
            assert await _denied(agent) == agent_pb2.Deny.CODE_PROTOCOL


@pytest.mark.parametrize(
    "hello",
    [
        agent_pb2.AgentMessage(heartbeat=agent_pb2.Heartbeat(sequence=1)),
        agent_pb2.AgentMessage(hello=agent_pb2.Hello(protocol_min=1, protocol_max=1)),
        agent_pb2.AgentMessage(hello=agent_pb2.Hello(protocol_min=1, protocol_max=1, incarnation="x" * 1000)),
        agent_pb2.AgentMessage(
            hello=agent_pb2.Hello(protocol_min=1, protocol_max=1, incarnation="x", modules=["m"] * 6000)
        ),
        agent_pb2.AgentMessage(
            hello=agent_pb2.Hello(
                protocol_min=1,
                protocol_max=1,
                incarnation="x",
                journal=[agent_pb2.JournalEntry(state=RUNNING)] * 10_001,
            )
        ),
    ],
    ids=["none", "no incarnation", "long incarnation", "modules", "journal"],
)
async def test_a_hello_that_is_out_of_bounds_is_refused(tmp_path: Path, hello: agent_pb2.AgentMessage) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with c.channel(holder) as channel:
            agent = FakeAgent(channel, incarnation="one")
            await agent.send(hello)
            await agent.read()
            assert await _denied(agent) == agent_pb2.Deny.CODE_INVALID


async def test_an_agent_that_is_removed_is_sent_away_and_what_was_out_fails(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c, grace=0) as ctl:
            [name] = await ctl.submit("web01")
            await agent.accept(await agent.dispatch())
            async with c.operator_channel() as channel:
                stub = fleet_pb2_grpc.FleetServiceStub(channel)
                await stub.RemoveAgent(fleet_pb2.RemoveAgentRequest(agent="web01"))
            assert await _denied(agent) == agent_pb2.Deny.CODE_REVOKED
            assert (await ctl.end_of(name)).reason == Reason.LOST_MID_TASK


async def test_a_draining_agent_takes_nothing_new(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [first] = await ctl.submit("web01")
            dispatch = await agent.dispatch()
            await agent.send(agent_pb2.AgentMessage(draining=agent_pb2.Draining()))
            await until(c, "web01", fleet_pb2.SESSION_STATE_DRAINING)
            [second] = await ctl.submit("web01")
            assert (await ctl.end_of(second)).unreachable
            await agent.result(dispatch.attempt_id)
            assert (await ctl.end_of(first)).reason == ""


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (agent_pb2.Result(), Reason.BAD_RESULT),
        (agent_pb2.Result(inline=b"x" * 1_000_000), Reason.RESULT_TOO_LARGE),
        (agent_pb2.Result(blob=agent_pb2.Attachment(sha256="../etc", size=1)), Reason.RESULT_TOO_LARGE),
        (agent_pb2.Result(inline=b"{}", reason="made up"), Reason.BAD_RESULT),
    ],
    ids=["empty", "large", "blob", "reason"],
)
async def test_a_result_that_is_out_of_bounds_is_the_hosts_failure(
    tmp_path: Path, result: agent_pb2.Result, reason: Reason
) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [name] = await ctl.submit("web01")
            message = agent_pb2.AgentMessage(result=result)
            message.result.attempt_id = (await agent.dispatch()).attempt_id
            await agent.send(message)
            assert (await ctl.end_of(name)).reason == reason


async def test_a_large_result_is_passed_on_as_a_blob(tmp_path: Path) -> None:
    async with controller(tmp_path) as c:
        holder = await c.enrol("web01")
        async with attached(c, holder) as agent, run(c) as ctl:
            [name] = await ctl.submit("web01")
            dispatch = await agent.dispatch()
            blob = agent_pb2.Attachment(sha256="ab" * 32, size=20_000_000)
            result = agent_pb2.Result(attempt_id=dispatch.attempt_id, blob=blob)
            await agent.send(agent_pb2.AgentMessage(result=result))
            assert (await ctl.end_of(name)).blob == blob
            assert (await ctl.finish()).state == run_pb2.RUN_STATE_FINISHED
