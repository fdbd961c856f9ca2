"""test_controller_fleet: what operators see of agents that come and go."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio
import pytest

from pybible.server.controller.services import fleet_list
from pybible.v1 import agent_pb2, agent_pb2_grpc, fleet_pb2, fleet_pb2_grpc
from tests.support.controller import RunningController, controller

Stream: TypeAlias = "grpc.aio.StreamStreamCall[agent_pb2.AgentMessage, agent_pb2.ControllerMessage]"


async def attach(channel: grpc.aio.Channel) -> tuple[Stream, agent_pb2.Welcome]:
    """Say Hello as an agent does, and return the stream with what was answered."""
    call: Stream = agent_pb2_grpc.AgentServiceStub(channel).Attach()
    hello = agent_pb2.Hello(
        protocol_min=1,
        protocol_max=1,
        version="0.1.0",
        incarnation=str(uuid.uuid4()),
        boot_id="boot",
        hostname="ip-10-0-0-1",
        modules=["ping"],
        slots=3,
    )
    await call.write(agent_pb2.AgentMessage(hello=hello))
    return call, (await answer(call)).welcome


async def answer(call: Stream) -> agent_pb2.ControllerMessage:
    async with asyncio.timeout(20):
        message = await call.read()
    assert isinstance(message, agent_pb2.ControllerMessage), message
    return message


async def shown(running: RunningController, name: str) -> fleet_pb2.Agent:
    async with running.operator_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        return (await stub.GetAgent(fleet_pb2.GetAgentRequest(agent=name))).agent


async def test_an_agent_that_is_attached_is_shown_as_it_is(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        holder = await running.enrol("web01")
        async with running.channel(holder) as channel:
            _call, welcome = await attach(channel)
            assert (welcome.name, welcome.epoch) == ("web01", 1)
            by_name, by_id = await shown(running, "web01"), await shown(running, holder.identity.id)
        assert by_name.state == by_id.state == fleet_pb2.SESSION_STATE_READY
        assert (by_name.hostname, by_name.slots, list(by_name.modules)) == ("ip-10-0-0-1", 3, ["ping"])
        assert by_name.address.startswith("127.0.0.1:")


async def test_removing_an_agent_ends_its_session_and_keeps_it_out(tmp_path: Path) -> None:
    async with controller(tmp_path) as running:
        holder = await running.enrol("web01")
        async with running.channel(holder) as channel, running.operator_channel() as operators:
            call, _welcome = await attach(channel)
            await fleet_pb2_grpc.FleetServiceStub(operators).RemoveAgent(fleet_pb2.RemoveAgentRequest(agent="web01"))
            assert (await answer(call)).deny.code == agent_pb2.Deny.CODE_REVOKED

            again = agent_pb2_grpc.AgentServiceStub(channel).Attach()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await again.read()
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_controller_that_stops_sends_its_agents_away_at_once(tmp_path: Path) -> None:
    async with asyncio.timeout(20):
        async with controller(tmp_path, drain_timeout=60.0) as running:
            holder = await running.enrol("web01")
            channel = running.channel(holder)
            call, _welcome = await attach(channel)
        assert (await answer(call)).WhichOneof("message") == "reconnect"
        await channel.close()


async def test_an_epoch_is_never_given_twice_not_even_after_a_restart(tmp_path: Path) -> None:
    epochs = []
    holder = None
    for _ in range(2):
        async with controller(tmp_path) as running:
            holder = holder or await running.enrol("web01")
            for _ in range(2):
                async with running.channel(holder) as channel:
                    epochs.append((await attach(channel))[1].epoch)
    assert epochs == [1, 2, 3, 4]


async def _listed(running: RunningController) -> list[fleet_pb2.Agent]:
    """Return all pages of the list, which end where they say."""
    agents: list[fleet_pb2.Agent] = []
    after = ""
    async with running.operator_channel() as channel:
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        while True:
            page = await stub.ListAgents(fleet_pb2.ListAgentsRequest(after=after))
            agents += page.agents
            if not page.next:
                return agents
            assert page.next == page.agents[-1].name
            after = page.next


async def test_a_list_is_true_after_every_change(tmp_path: Path) -> None:
    async with controller(tmp_path, disconnect_grace=0.0) as running:
        web, db = await running.enrol("web01"), await running.enrol("db01")
        before = await _listed(running)
        async with running.channel(web) as channel:
            call, _welcome = await attach(channel)
            [_, during] = await _listed(running)
            await call.write(agent_pb2.AgentMessage(heartbeat=agent_pb2.Heartbeat(sequence=1, load=2.5)))
            # Answered once it was taken.
            assert isinstance(await call.read(), agent_pb2.ControllerMessage)
            [_, loaded] = await _listed(running)
        async with running.operator_channel() as channel:
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            await stub.RevokeAgent(fleet_pb2.RevokeAgentRequest(agent="db01"))
            [revoked, _] = await _listed(running)
            await stub.RemoveAgent(fleet_pb2.RemoveAgentRequest(agent="db01"))
        [after] = await _listed(running)
    assert [agent.name for agent in before] == ["db01", "web01"]
    assert all(agent.state == fleet_pb2.SESSION_STATE_OFFLINE and not agent.HasField("since") for agent in before)
    assert (during.state, during.epoch, during.slots) == (fleet_pb2.SESSION_STATE_READY, 1, 3)
    assert (during.load, loaded.load, loaded.since) == (0.0, 2.5, during.since)
    assert not during.modules
    assert during.HasField("certificate_expires")
    assert revoked.agent_id == db.identity.id
    assert not revoked.HasField("certificate_expires")
    assert after.name == "web01"
    async with controller(tmp_path) as running:
        [again] = await _listed(running)
    assert (again.name, again.epoch, again.hostname) == ("web01", 1, "ip-10-0-0-1")
    assert again.state == fleet_pb2.SESSION_STATE_OFFLINE
    assert again.HasField("since")


async def test_a_list_comes_in_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"web{number:02}" for number in range(7)]
    async with controller(tmp_path) as running:
        for name in reversed(names):
            await running.enrol(name)
        one = (await _listed(running))[0].ByteSize()
        for size in (1, 3 * one, 1024 * 1024):
            monkeypatch.setattr(fleet_list, "PAGE_BYTES", size)
            assert [agent.name for agent in await _listed(running)] == names
