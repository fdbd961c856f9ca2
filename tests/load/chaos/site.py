"""site: a controller that is killed and started again, and how often what happened. The faults come in evenly."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import grpc
import grpc.aio

from pybible.server.client.processes import command_path
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import ConnectionFailed
from pybible.wire.faults import POINTS
from tests.load.chaos.operators import operators_channel
from tests.support.fault_proxy import FaultProxy, fault_proxy

_START_SECONDS = 60.0
# Everything is a good deal quicker than it would be, so that much happens in little time.
QUICK = (
    "heartbeat_interval = 1.0\ndisconnect_grace = 2.0\naccept_timeout = 2.0\nenroll_rate = 100000.0\n"
    "log_level = 'warning'\ndrain_timeout = 1.0\nrecovery_window = {recovery}\n"
)
# What is no point: the process is killed from outside, whatever it is doing.
ANY_MOMENT = "any moment"
# How often a controller comes, in some seconds, to what does not happen once for each attempt: its history is written
# five times a second, whatever happens.
_RARE: Mapping[str, int] = MappingProxyType({"before_store": 20, "after_store": 20, "after_finished_sent": 3})
# A process that has not come to its point by then is killed where it is.
_CONTROLLER_SECONDS = 25.0
# A process that was to die at a point and did not come to it counts as so much of one that did.
_MISSED = 0.25


def points_of(*kinds: str) -> tuple[str, ...]:
    """Return the points of some kinds of process."""
    return tuple(point for point, what in POINTS.items() if what.partition(":")[0] in kinds)


@dataclass(slots=True, kw_only=True)
class Site:
    """What runs, and how often what happened. Everything seeded draws from `draw`."""

    folder: Path
    draw: random.Random
    # How many times the controller comes to a point at most before it is killed there; 0: never.
    controller_life: int
    agent_life: int
    # The controller's settings file.
    settings: str
    happened: Counter[str] = field(default_factory=Counter)
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None
    # Its two ports, once they are known: agents know where it was.
    listen: tuple[str, str] = ("127.0.0.1:0", "127.0.0.1:0")
    # How often each point was chosen for a process to die at, and was somebody's last on the sites before this one.
    chosen: Counter[str] = field(default_factory=Counter)
    fired_before: Counter[str] = field(default_factory=Counter)
    # From when to when each controller was being started, seconds since the epoch.
    starts: list[tuple[float, float]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """The controller's folder."""
        return self.folder / "controller"

    @property
    def socket(self) -> str:
        """The operators' socket."""
        return str(self.folder / "s")

    @property
    def record(self) -> Path:
        """Where every process writes the point at which it dies."""
        return self.folder / "faults"

    def note(self, what: str) -> None:
        """Count what happened."""
        self.happened[what] += 1

    def fired(self) -> Counter[str]:
        """Return how often each point was somebody's last."""
        return Counter(self.record.read_text().split()) if self.record.exists() else Counter()

    def choose(self, points: Sequence[str], *, beside: Sequence[str] = (ANY_MOMENT,)) -> str:
        """Draw the next point, of those that were reached least often; now and then what is no point."""
        if self.draw.random() * (len(points) + len(beside)) < len(beside):
            return self.draw.choice(beside)
        reached = self.fired() + self.fired_before
        scores = {point: reached[point] + _MISSED * max(0, self.chosen[point] - reached[point]) for point in points}
        least = min(scores.values())
        point = self.draw.choice([point for point in points if scores[point] == least])
        self.chosen[point] += 1
        return point

    def environment(self, point: str, *, most: int) -> Mapping[str, str]:
        """Return that of a process that is to die at a point, the N-th time at random."""
        fault = "" if point in ("", ANY_MOMENT) else f"{point}:kill9@{self.draw.randint(1, most)}"
        return {**os.environ, "PYBIBLE_FAULT": fault, "PYBIBLE_FAULT_RECORD": str(self.record)}

    # --- the controller

    async def start_controller(self, *, point: str = "") -> None:
        """Start it, to die at a point, and wait until it answers or is dead."""
        config = self.folder / "settings.toml"
        config.write_text(self.settings)
        began = time.time()
        most = _RARE.get(point) or max(1, self.controller_life)
        with (self.folder / "controller.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                command_path("pybible-controller"),
                *("--state", str(self.state), "--socket", self.socket, "--config", str(config)),
                *("--listen", self.listen[0], "--enroll-listen", self.listen[1]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(point, most=most),
            )
        async with asyncio.timeout(_START_SECONDS):
            while self.process.returncode is None and not await self._answers():
                pass
        self.starts.append((began, time.time()))
        with suppress(FileNotFoundError):
            found = json.loads((self.state / "addresses.json").read_text())
            self.listen = (found["agents"], found["enrolment"])

    async def _answers(self) -> bool:
        """Whether it answers, within a few seconds."""
        with suppress(ConnectionFailed, grpc.RpcError):
            async with self.channel() as channel:
                stub: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
                await stub.GetController(fleet_pb2.GetControllerRequest(), wait_for_ready=True, timeout=5)
                return True
        return False

    async def keep_controller(self) -> None:
        """Kill the controller at one point after the other, and start it again, until it is to be calm."""
        if not self.controller_life:
            return
        await self.stop_controller()
        while not self.calm.is_set():
            point = self.choose(points_of("controller"))
            await self.start_controller(point=point)
            assert self.process is not None
            seconds = self.draw.uniform(0.5, 10.0) if point == ANY_MOMENT else _CONTROLLER_SECONDS
            await self._outlive(self.process, seconds)
            self.note("kill -9: controller")

    async def _outlive(self, process: asyncio.subprocess.Process, seconds: float) -> None:
        """Wait for the end of a process, and kill it after so long."""
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
        except TimeoutError:
            self.note("kill -9: controller, at any moment")
            process.kill()
            await process.wait()

    async def stop_controller(self) -> None:
        """End it in good order."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    # --- what it says

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """Open a channel to the operators' socket."""
        async with operators_channel(self.socket) as channel:
            yield channel

    async def token(self, uses: int) -> str:
        """Make a token."""
        async with self.channel() as channel:
            stub: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
            return (await stub.CreateToken(fleet_pb2.CreateTokenRequest(uses=uses), timeout=_START_SECONDS)).token

    async def missing(self, wanted: set[str]) -> set[str]:
        """Return those of these agents that have no session."""
        async with self.channel() as channel:
            stub: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
            listed = await stub.ListAgents(fleet_pb2.ListAgentsRequest(), timeout=_START_SECONDS)
        return wanted - {agent.name for agent in listed.agents if agent.state == fleet_pb2.SESSION_STATE_READY}


@asynccontextmanager
async def site_with_proxy(site: Site) -> AsyncIterator[FaultProxy]:
    """Start the controller, with a proxy before its agents' port."""
    try:
        await site.start_controller()
        async with fault_proxy(site.listen[0]) as proxy:
            yield proxy
    finally:
        await site.stop_controller()


async def end_all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they are over."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
