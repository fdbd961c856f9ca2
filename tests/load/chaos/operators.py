"""operators: runs of many attempts, led as the engine leads them, by operators who may vanish."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio

from pybible.server.client.connection import Endpoint
from pybible.v1 import run_pb2, run_pb2_grpc
from pybible.wire.errors import PybibleError
from pybible.wire.values import dumps

_BROKEN = (grpc.aio.BaseError, grpc.RpcError, asyncio.InvalidStateError, AssertionError, PybibleError)
# Past it a run is stuck: longer than a task's own time, the controller's patience with it, and two restarts.
_LONGEST = 90.0
_TASK_SECONDS = 2
_PAUSE = 0.5


@asynccontextmanager
async def operators_channel(socket: str) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to the operators' socket. ConnectionFailed when no controller comes in a few seconds."""
    async with Endpoint.local(Path(socket)).entered() as entrance, entrance.channel() as channel:
        yield channel


@dataclass(slots=True)
class Lead:
    """One run as its operator saw it. `broken`: the call ended before the run did, whoever's fault that is."""

    run_id: str = ""
    forks: int = 0
    asked: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    unreachable: dict[str, bool] = field(default_factory=dict)
    vanished: bool = False
    broken: bool = False
    stuck: bool = False


@dataclass(slots=True, kw_only=True)
class Operator:
    """Leads one run after the other. `marks`: where tasks of real workers write their names."""

    number: int
    socket: str
    swarm: list[str]
    real: list[str]
    marks: Path
    draw: random.Random
    # The attempts that each of a run's tasks makes.
    width: int = 20
    tasks: int = 4
    vanish: float = 0.05
    leads: list[Lead] = field(default_factory=list)

    async def work(self, enough: Callable[[], bool]) -> None:
        """Lead runs until there is enough."""
        while not enough():
            lead = Lead(forks=self.draw.randint(1, 12))
            self.leads.append(lead)
            try:
                await self._lead(lead)
            except _BROKEN:
                lead.broken = True
                # The controller may be away.
                await asyncio.sleep(_PAUSE)

    async def _lead(self, lead: Lead) -> None:
        async with operators_channel(self.socket) as channel:
            call = run_pb2_grpc.RunServiceStub(channel).Execute(wait_for_ready=True)
            start = run_pb2.StartRun(name="chaos.yml", forks=lead.forks)
            await call.write(run_pb2.ExecuteRequest(start=start))
            started = await call.read()
            assert isinstance(started, run_pb2.ExecuteResponse)
            lead.run_id = started.started.run_id
            try:
                async with asyncio.timeout(_LONGEST):
                    for task in range(self.tasks):
                        await self._task(call, lead, f"t{task}")
                        if self.draw.random() < self.vanish:
                            lead.vanished = True
                            return
                    await call.write(run_pb2.ExecuteRequest(finish=run_pb2.FinishRun()))
                    while isinstance(response := await call.read(), run_pb2.ExecuteResponse):
                        self._note(lead, response)
            except TimeoutError:
                lead.stuck = True

    async def _task(self, call: _Call, lead: Lead, task: str) -> None:
        """Ask for a task on some hosts, and wait for every end; or vanish in the middle of it."""
        batch = run_pb2.AttemptBatch()
        names = set()
        for agent in self.draw.sample([*self.swarm, *self.real], min(self.width, len(self.swarm) + len(self.real))):
            name = f"a{len(lead.asked)}"
            names.add(name)
            lead.asked.append(name)
            message = batch.attempts.add(attempt_id=name, task_id=task, host=agent, agent=agent)
            if agent in self.real:
                message.task.module = "shell"
                message.task.args = dumps({"_raw_params": f"echo {lead.run_id}:{name} {agent} >> {self.marks}"})
            else:
                message.task.module = "ping"
                message.task.args = b"{}"
            message.task.timeout.FromTimedelta(timedelta(seconds=_TASK_SECONDS))
        await call.write(run_pb2.ExecuteRequest(attempts=batch))
        while names - lead.ends.keys():
            response = await call.read()
            if not isinstance(response, run_pb2.ExecuteResponse):
                lead.broken = True
                raise asyncio.InvalidStateError("the controller ended the call")
            self._note(lead, response)
        if sum(lead.unreachable[name] for name in names) * 2 > len(names):
            # Nobody is there: to ask them all again at once would only count more of the same.
            await asyncio.sleep(_PAUSE)

    def _note(self, lead: Lead, response: run_pb2.ExecuteResponse) -> None:
        for update in response.updates.updates:
            if update.HasField("ended"):
                lead.ends[update.attempt_id] += 1
                lead.reasons[update.ended.reason or "answered"] += 1
                lead.unreachable[update.attempt_id] = update.ended.unreachable


_Call = grpc.aio.StreamStreamCall[run_pb2.ExecuteRequest, run_pb2.ExecuteResponse]
