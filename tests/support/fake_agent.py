"""fake_agent: the agent's end of the protocol, over a real channel, doing only what a test says."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import grpc.aio

from pybible.v1 import agent_pb2, agent_pb2_grpc, fleet_pb2, fleet_pb2_grpc
from tests.support.controller import Holder, RunningController

Journal: TypeAlias = Sequence[tuple[str, agent_pb2.JournalEntry.State.ValueType]]

RUNNING = agent_pb2.JournalEntry.STATE_RUNNING
FINISHED = agent_pb2.JournalEntry.STATE_FINISHED
INTERRUPTED = agent_pb2.JournalEntry.STATE_INTERRUPTED

# Every wait of a test ends.
PATIENCE = 10.0


class FakeAgent:
    """One attached stream. What the controller says is kept by kind, and waited for by kind."""

    def __init__(self, channel: grpc.aio.Channel, *, incarnation: str) -> None:
        self.incarnation = incarnation
        self.welcome = agent_pb2.Welcome()
        self.ended = asyncio.Event()
        self._channel = channel
        self._call = agent_pb2_grpc.AgentServiceStub(channel).Attach()
        self._inbox: dict[str, asyncio.Queue[agent_pb2.ControllerMessage]] = {}
        self._sequence = itertools.count(1)

    async def hello(self, *, journal: Journal = (), slots: int = 100, protocol: int = 1) -> None:
        """Open the session."""
        entries = [agent_pb2.JournalEntry(attempt_id=name, state=state) for name, state in journal]
        message = agent_pb2.Hello(
            protocol_min=protocol,
            protocol_max=protocol,
            version="0",
            incarnation=self.incarnation,
            boot_id="boot",
            modules=["ping", "command"],
            slots=slots,
            journal=entries,
            hostname="fake",
        )
        await self.send(agent_pb2.AgentMessage(hello=message))

    async def send(self, message: agent_pb2.AgentMessage) -> None:
        """Send anything."""
        await self._call.write(message)

    async def next(self, kind: str) -> agent_pb2.ControllerMessage:
        """Wait for the next message of a kind."""
        async with asyncio.timeout(PATIENCE):
            return await self._queue(kind).get()

    async def dispatch(self) -> agent_pb2.Dispatch:
        """Wait for the next Dispatch."""
        return (await self.next("dispatch")).dispatch

    def waiting(self, kind: str) -> int:
        """Return how many messages of a kind came and were not asked for."""
        return self._queue(kind).qsize()

    def forget(self, kind: str) -> None:
        """Let go of the messages of a kind that came and were not asked for."""
        queue = self._queue(kind)
        while not queue.empty():
            queue.get_nowait()

    async def accept(self, dispatch: agent_pb2.Dispatch) -> None:
        """Say Accepted and Started."""
        await self.send(agent_pb2.AgentMessage(accepted=agent_pb2.Accepted(attempt_id=dispatch.attempt_id)))
        await self.send(agent_pb2.AgentMessage(started=agent_pb2.Started(attempt_id=dispatch.attempt_id)))

    async def result(self, attempt_id: str, content: bytes = b'{"changed":false}', *, reason: str = "") -> None:
        """Send a result."""
        message = agent_pb2.Result(attempt_id=attempt_id, inline=content, reason=reason)
        await self.send(agent_pb2.AgentMessage(result=message))

    async def output(self, attempt_id: str, data: bytes) -> None:
        """Send output."""
        message = agent_pb2.Output(attempt_id=attempt_id, stream=agent_pb2.Output.STREAM_STDOUT, data=data)
        await self.send(agent_pb2.AgentMessage(output=message))

    async def facts(self, facts: bytes, *, digest: bytes = b"d" * 32, user: str = "root", age: float = 0.0) -> None:
        """Push facts."""
        message = agent_pb2.FactsChanged(digest=digest, facts=facts, moving=b'{"moves":1}', user=user)
        message.age.FromNanoseconds(int(age * 1e9))
        await self.send(agent_pb2.AgentMessage(facts_changed=message))

    async def heartbeat(self) -> None:
        """Send a heartbeat."""
        beat = agent_pb2.Heartbeat(sequence=next(self._sequence), load=0.5, running=0, free_slots=1)
        await self.send(agent_pb2.AgentMessage(heartbeat=beat))

    async def goodbye(self) -> None:
        """Leave on purpose."""
        await self.send(agent_pb2.AgentMessage(goodbye=agent_pb2.Goodbye(reason="test")))
        await self._call.done_writing()

    async def cut(self) -> None:
        """Leave without a word: the connection is gone."""
        await self._channel.close()

    async def read(self) -> None:
        """Sort what comes, until the stream ends."""
        with suppress(grpc.RpcError, asyncio.CancelledError):
            while isinstance(message := await self._call.read(), agent_pb2.ControllerMessage):
                kind = message.WhichOneof("message") or ""
                self._queue(kind).put_nowait(message)
        self.ended.set()

    def _queue(self, kind: str) -> asyncio.Queue[agent_pb2.ControllerMessage]:
        return self._inbox.setdefault(kind, asyncio.Queue())


@asynccontextmanager
async def attached(
    controller: RunningController,
    holder: Holder,
    *,
    incarnation: str = "",
    journal: Journal = (),
    slots: int = 100,
    welcome: bool = True,
) -> AsyncIterator[FakeAgent]:
    """Attach an agent, and cut it at the end of the block if it is still there."""
    channel = controller.channel(holder)
    agent = FakeAgent(channel, incarnation=incarnation or str(uuid.uuid4()))
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(agent.read())
        try:
            await agent.hello(journal=journal, slots=slots)
            if welcome:
                agent.welcome = (await agent.next("welcome")).welcome
            yield agent
        finally:
            reader.cancel()
            await channel.close()


async def until(controller: RunningController, name: str, state: fleet_pb2.SessionState.ValueType) -> None:
    """Wait until the controller sees an agent in a state."""
    async with controller.operator_channel() as channel, asyncio.timeout(PATIENCE):
        stub = fleet_pb2_grpc.FleetServiceStub(channel)
        while (await stub.GetAgent(fleet_pb2.GetAgentRequest(agent=name))).agent.state != state:
            pass
