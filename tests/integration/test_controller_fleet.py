"""test_controller_fleet: what operators see of agents that come and go."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio
import pytest

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
