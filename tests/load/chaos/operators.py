"""operators: runs of many attempts, led as the engine leads them, by operators who may vanish or change their mind.

Some do so through the product's own client, which knows what to do when a controller goes away; some speak the
protocol themselves: they see whether anything ends twice, and never come back to a run.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from pybible.server.client.connection import Endpoint
from pybible.server.client.opener import ControllerOpener
from pybible.server.client.run_dispatcher import RunDispatcher
from pybible.server.engine.dispatcher import Outcome, RunRequest, Target
from pybible.server.results.events import HostResult, Status
from pybible.server.results.recap import Recap
from pybible.v1 import run_pb2, run_pb2_grpc
from pybible.wire.convert import spec_to_pb
from pybible.wire.errors import PybibleError
from pybible.wire.tasks import TaskSpec
from pybible.wire.values import dumps

_BROKEN = (grpc.aio.BaseError, grpc.RpcError, asyncio.InvalidStateError, PybibleError)
# When nothing of a run has ended for so long it is stuck: longer than its tasks' own times, the controller's patience
# with them, and some restarts.
_LONGEST = 120.0
_TASK_SECONDS = 2.0
_PAUSE = 0.5
_TASKS = 4


@asynccontextmanager
async def operators_channel(socket: str) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel to the operators' socket. ConnectionFailed when no controller comes in a few seconds."""
    async with Endpoint.local(Path(socket)).entered() as entrance, entrance.channel() as channel:
        yield channel


@dataclass(slots=True)
class Lead:
    """One run as its operator saw it: what was asked for and how often that ended, by task and host.

    `broken`: the call ended before the run did, whoever's fault that is. `vanished`: the operator left it on purpose.
    """

    run_id: str = ""
    forks: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    # What its operator gave up: it may never have been sent.
    dropped: set[tuple[str, str]] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    vanished: bool = False
    broken: bool = False
    wrong: list[str] = field(default_factory=list)
    # Until when its operator is patient; put off by each end.
    patience: asyncio.Timeout | None = None

    def end(self, task: str, host: str, reason: str) -> None:
        """Note the end of an attempt."""
        self.ends[task, host] += 1
        self.reasons[reason or "answered"] += 1
        if self.patience is not None and not self.patience.expired():
            self.patience.reschedule(asyncio.get_running_loop().time() + _LONGEST)

    @property
    def whole(self) -> bool:
        """Whether its operator was there to the end."""
        return not (self.broken or self.vanished)


@dataclass(slots=True, kw_only=True)
class Operator(ABC):
    """Leads one run after the other. `marks`: where tasks of real workers write their names."""

    socket: str
    swarm: list[str]
    real: list[str]
    marks: Path
    draw: random.Random
    # The attempts that each of a run's tasks makes.
    width: int
    # How many of the runs are left in the middle.
    vanish: float = 0.06
    # How many of the attempts are given up, if they have not ended by then.
    drop: float = 0.02
    leads: list[Lead] = field(default_factory=list)

    async def work(self, enough: Callable[[], bool]) -> None:
        """Lead runs until there is enough."""
        while not enough():
            lead = Lead(forks=self.draw.randint(2, 16))
            self.leads.append(lead)
            vanishes = self.draw.random() < self.vanish
            seconds = self.draw.uniform(0.1, 3.0) if vanishes else _LONGEST
            try:
                async with asyncio.timeout(seconds) as patience:
                    lead.patience = None if vanishes else patience
                    await self._lead(lead)
            except* TimeoutError:
                lead.vanished = True
                if not vanishes:
                    open_yet = [f"{task} on {host}" for task, host in lead.asked if not lead.ends[task, host]]
                    lead.wrong.append(f"{lead.run_id} is stuck since {seconds:.0f} s: no end of {open_yet[:9]}")
            except* _BROKEN:
                lead.broken = True
            if lead.broken or lead.vanished:
                # The controller may be away.
                await asyncio.sleep(_PAUSE)

    def hosts(self) -> list[str]:
        """Draw those of a task: all real agents, and some of the swarm, in any order."""
        some = self.draw.sample(self.swarm, max(0, min(self.width - len(self.real), len(self.swarm))))
        return self.draw.sample([*some, *self.real], len(some) + len(self.real))

    def spec(self, lead: Lead, task: str, host: str) -> TaskSpec:
        """Return what a host is to do."""
        if host not in self.real:
            return TaskSpec(module="ping", args=b"{}", timeout=_TASK_SECONDS)
        mark = f"echo {lead.run_id}/{task}/{host} %s $(date +%%s.%%6N) {host} >> {self.marks}"
        command = f"{mark % 'b'}; sleep {self.draw.choice((0, 0, 0, 0.3))}; {mark % 'e'}"
        return TaskSpec(module="shell", args=dumps({"_raw_params": command}), timeout=_TASK_SECONDS)

    async def rest(self, away: int) -> None:
        """Wait a little when many were not there: to ask them again at once would only count more of the same."""
        if away * 8 > self.width:
            await asyncio.sleep(4 * _PAUSE * away / self.width)

    @abstractmethod
    async def _lead(self, lead: Lead) -> None:
        """Lead one run to its end."""


@dataclass(slots=True, kw_only=True)
class Engine(Operator):
    """Leads runs through the product's own client, and compares the controller's recap with what it saw."""

    async def _lead(self, lead: Lead) -> None:
        opener = ControllerOpener(Endpoint.local(Path(self.socket)))
        request = RunRequest(name="chaos.yml", forks=lead.forks, agents=tuple(self.real))
        own = Recap()
        async with opener.open(request) as run:
            lead.run_id = run.run_id
            for number in range(_TASKS):
                task, away = f"t{number}", 0
                async with asyncio.TaskGroup() as group:
                    asked = [group.create_task(self._one(run, lead, task, host), name=host) for host in self.hosts()]
                for one in asked:
                    outcome = one.result()
                    if outcome is None:
                        continue
                    away += outcome.unreachable
                    event = HostResult(task_id=task, host=one.get_name(), status=_status(outcome))
                    own.count((event,))
                    run.publish((event,))
                await self.rest(away)
            recap = await run.finish(exit_status=0)
        if recap != own:
            lead.wrong.append(f"{lead.run_id}: the recap is {_counts(recap)}, and was {_counts(own)}")

    async def _one(self, run: RunDispatcher, lead: Lead, task: str, host: str) -> Outcome | None:
        """Have one attempt made; None when it was given up."""
        lead.asked.append((task, host))
        patience = self.draw.uniform(0.0, 2.0) if self.draw.random() < self.drop else None
        outcome = None
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                outcome = await run.run(Target(host=host, agent=host), self.spec(lead, task, host), task_id=task)
        if outcome is None:
            lead.dropped.add((task, host))
        lead.end(task, host, "given up by its operator" if outcome is None else outcome.reason)
        return outcome


@dataclass(slots=True, kw_only=True)
class Speaker(Operator):
    """Speaks the protocol itself."""

    async def _lead(self, lead: Lead) -> None:
        async with operators_channel(self.socket) as channel:
            call = run_pb2_grpc.RunServiceStub(channel).Execute(wait_for_ready=True)
            start = run_pb2.StartRun(name="chaos.yml", forks=lead.forks)
            await call.write(run_pb2.ExecuteRequest(start=start))
            lead.run_id = (await _read(call)).started.run_id
            for number in range(_TASKS):
                await self._task(call, lead, f"t{number}")
            await call.write(run_pb2.ExecuteRequest(finish=run_pb2.FinishRun()))
            while isinstance(response := await call.read(), run_pb2.ExecuteResponse):
                _note(lead, response)

    async def _task(self, call: _Call, lead: Lead, task: str) -> None:
        """Ask for a task on some hosts, and wait for every end."""
        batch = run_pb2.AttemptBatch()
        wanted = set()
        for host in self.hosts():
            lead.asked.append((task, host))
            wanted.add((task, host))
            spec = spec_to_pb(self.spec(lead, task, host))
            batch.attempts.add(attempt_id=f"{task}/{host}", task_id=task, host=host, agent=host, task=spec)
        await call.write(run_pb2.ExecuteRequest(attempts=batch))
        away = 0
        while wanted - lead.ends.keys():
            away += _note(lead, await _read(call))
        await self.rest(away)


_Call = grpc.aio.StreamStreamCall[run_pb2.ExecuteRequest, run_pb2.ExecuteResponse]


async def _read(call: _Call) -> run_pb2.ExecuteResponse:
    response = await call.read()
    if not isinstance(response, run_pb2.ExecuteResponse):
        raise asyncio.InvalidStateError("the controller ended the call")
    return response


def _note(lead: Lead, response: run_pb2.ExecuteResponse) -> int:
    """Take what ended. Return how many of those were not there."""
    away = 0
    for update in response.updates.updates:
        if update.HasField("ended"):
            task, _, host = update.attempt_id.partition("/")
            lead.end(task, host, update.ended.reason)
            if lead.ends[task, host] > 1:
                lead.wrong.append(f"{lead.run_id}: {task} on {host} ended {lead.ends[task, host]} times")
            away += update.ended.unreachable
    return away


def _status(outcome: Outcome) -> Status:
    if outcome.unreachable:
        return Status.UNREACHABLE
    return Status.FAILED if outcome.reason or outcome.result.get("failed") else Status.OK


def _counts(recap: Recap) -> dict[str, tuple[int, int, int]]:
    return {host: (each.ok, each.failed, each.unreachable) for host, each in sorted(recap.hosts.items())}
