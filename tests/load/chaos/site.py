"""site: a controller and agents that are killed and started again, with a network between them that breaks."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from pybible.server.client.processes import command_path
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire.errors import ConnectionFailed
from tests.load.chaos.operators import operators_channel
from tests.load.swarm.identities import enrol_all
from tests.support.agent import running_agent
from tests.support.fault_proxy import FaultProxy, Way, fault_proxy

_START_SECONDS = 60.0
# Everything is a good deal quicker than it would be, so that much happens in little time.
_SETTINGS = (
    "heartbeat_interval = 1.0\ndisconnect_grace = 2.0\naccept_timeout = 2.0\nenroll_rate = 100000.0\n"
    "log_level = 'warning'\ndrain_timeout = 1.0\n"
)
# Without what its process can't do alone.
_CONTROLLER_POINTS = (
    "before_dispatch", "after_dispatch_sent", "after_accepted", "before_verdict", "after_verdict", "before_store",
    "after_store", "after_ack_sent",
)  # fmt: skip
_AGENT_POINTS = (
    "before_journal", "after_journal", "after_accept", "before_start", "after_start", "before_result", "after_result",
    "after_result_sent", "before_acknowledge", "after_acknowledge", "worker_before_run", "worker_after_run",
)  # fmt: skip


# What happens to the network, and how often beside the others.
_BREAKS = {"cut": 3, "reset": 3, "half open": 3, "delay": 2, "reset at a byte": 2, "stall": 1, "drop": 1, "refuse": 1}
_CTL_POINTS = ("ctl_before_send", "ctl_after_send", "ctl_before_result")
_PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks: [{ping: }, {ping: }, {ping: }]
"""


@dataclass(slots=True, kw_only=True)
class Site:
    """What runs, and how often what happened. Everything seeded draws from `draw`."""

    folder: Path
    draw: random.Random
    # How many times the controller comes to a point before it is killed there; 0: never.
    controller_life: int
    agent_life: int
    happened: dict[str, int] = field(default_factory=dict)
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None
    # Its two ports, once they are known: agents know where it was.
    listen: tuple[str, str] = ("127.0.0.1:0", "127.0.0.1:0")

    @property
    def state(self) -> Path:
        """The controller's folder."""
        return self.folder / "controller"

    @property
    def socket(self) -> str:
        """The operators' socket."""
        return str(self.folder / "s")

    def note(self, what: str) -> None:
        """Count what happened."""
        self.happened[what] = self.happened.get(what, 0) + 1

    async def start_controller(self, *, fault: str = "") -> None:
        """Start it, and wait until it answers."""
        config = self.folder / "settings.toml"
        config.write_text(_SETTINGS)
        with (self.folder / "controller.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                command_path("pybible-controller"),
                *("--state", str(self.state), "--socket", self.socket, "--config", str(config)),
                *("--listen", self.listen[0], "--enroll-listen", self.listen[1]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYBIBLE_FAULT": fault},
            )
        async with asyncio.timeout(_START_SECONDS):
            while not await self._answers():
                pass
        found = json.loads((self.state / "addresses.json").read_text())
        self.listen = (found["agents"], found["enrolment"])

    async def _answers(self) -> bool:
        """Whether it answers, within a few seconds."""
        with suppress(ConnectionFailed):
            async with self.channel() as channel:
                stub: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
                await stub.GetController(fleet_pb2.GetControllerRequest(), wait_for_ready=True, timeout=_START_SECONDS)
                return True
        return False

    async def keep_controller(self) -> None:
        """Start the controller again whenever it dies, to die at another point, until it is to be calm."""
        while self.process is not None:
            await self.process.wait()
            if self.calm.is_set():
                return
            self.note("controller killed")
            await self.start_controller(fault=self.controller_fault())

    def controller_fault(self) -> str:
        """Draw where the controller is killed next."""
        if not self.controller_life:
            return ""
        return f"{self.draw.choice(_CONTROLLER_POINTS)}:kill9@{self.draw.randint(1, self.controller_life)}"

    async def keep_agent(self, folder: Path, dial: str) -> None:
        """Run a real agent, and start it again whenever it dies, to die at another point. Ends when cancelled."""
        while True:
            fault = f"{self.draw.choice(_AGENT_POINTS)}:kill9@{self.draw.randint(1, self.agent_life)}"
            environment = {"PYBIBLE_FAULT": "" if self.calm.is_set() else fault}
            settings = {"controller": dial, "reconnect_limit": 1.0, "log_level": "warning"}
            async with running_agent(folder, environment=environment, **settings) as agent:
                await agent.process.wait()
            self.note(f"agent killed at {fault.partition(':')[0]}")

    async def keep_ctl(self, hosts: Sequence[str], *, pause: float) -> None:
        """Run a playbook again and again, by a pybible-ctl that is killed somewhere in it. Ends when cancelled."""
        inventory, playbook = self.folder / "inventory.ini", self.folder / "site.yml"
        inventory.write_text("".join(f"{host}\n" for host in hosts))
        playbook.write_text(_PLAYBOOK)
        with (self.folder / "ctl.log").open("ab") as log:
            while True:
                await asyncio.sleep(pause * self.draw.uniform(0.5, 1.5))
                point = self.draw.choice(_CTL_POINTS)
                process = await asyncio.create_subprocess_exec(
                    *(command_path("pybible-ctl"), "run", "--controller", f"unix:{self.socket}"),
                    *("-i", str(inventory), "--timeout", "5", str(playbook)),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "PYBIBLE_FAULT": f"{point}:kill9@{self.draw.randint(1, 12)}"},
                )
                try:
                    status = await process.wait()
                except asyncio.CancelledError:
                    process.kill()
                    await process.wait()
                    raise
                self.note(f"ctl killed at {point}" if status < 0 else "ctl came to its end")

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

    async def attached(self, wanted: set[str]) -> bool:
        """Whether all these agents have a session."""
        async with self.channel() as channel:
            stub: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
            listed = await stub.ListAgents(fleet_pb2.ListAgentsRequest(), timeout=_START_SECONDS)
        ready = {agent.name for agent in listed.agents if agent.state == fleet_pb2.SESSION_STATE_READY}
        return wanted <= ready

    async def stop_controller(self) -> None:
        """End it in good order."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()


async def break_network(site: Site, proxy: FaultProxy, *, pause: float) -> None:
    """Do one thing after the other to the connections of the agents, until cancelled."""
    draw = site.draw
    # Most of the time most agents are there: who is away gets no tasks.
    proxy.pick = lambda links: draw.sample(links, len(links) // 3)
    while True:
        await asyncio.sleep(pause * draw.uniform(0.5, 1.5))
        [what] = draw.choices(*zip(*_BREAKS.items(), strict=True))
        site.note(f"network: {what}")
        seconds = draw.uniform(0.1, 1.0) * pause
        match what:
            case "cut":
                proxy.cut()
            case "reset":
                proxy.reset()
            case "half open":
                proxy.half_open()
            case "stall":
                proxy.stall(*draw.choice(((Way.UP,), (Way.DOWN,), tuple(Way))))
            case "drop":
                proxy.drop(draw.choice(tuple(Way)))
            case "delay":
                proxy.delay = draw.uniform(0.005, 0.05)
            case "reset at a byte":
                proxy.reset_at = {draw.choice(tuple(Way)): draw.randint(1, 20_000)}
            case _:
                proxy.reset()
                proxy.refuse = True
        await asyncio.sleep(seconds)
        mend(proxy)


def mend(proxy: FaultProxy) -> None:
    """Let it be a good network again."""
    proxy.resume()
    proxy.delay, proxy.reset_at, proxy.refuse = 0.0, {}, False


@asynccontextmanager
async def running_swarm(
    site: Site, *, agents: int, seed: int, script: str, dial: str, marks: Path
) -> AsyncIterator[list[str]]:
    """Run a swarm of so many agents in a process of its own; give their names."""
    folder = site.folder / "agents"
    names = [f"swarm{number:05}" for number in range(1, agents + 1)]
    folder.mkdir(exist_ok=True)
    await enrol_all([folder / name for name in names], await site.token(agents))
    with (site.folder / "swarm.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.load.swarm.fleet", "--agents", str(agents), "--state", str(folder)),
            *("--seed", str(seed), "--script", script, "--marks", str(marks), "--dial", dial),
            *("--reconnect-limit", "1.0"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield names
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def real_agents(site: Site, group: asyncio.TaskGroup, *, agents: int, dial: str) -> AsyncIterator[list[str]]:
    """Run so many real agents; give their names."""
    folder = site.folder / "real"
    folder.mkdir()
    names = [f"real{number}" for number in range(1, agents + 1)]
    await enrol_all([folder / name for name in names], await site.token(agents) if agents else "")
    tasks = [group.create_task(site.keep_agent(folder / name, dial)) for name in names]
    try:
        yield names
    finally:
        await end_all(tasks)


async def end_all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they are over."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


@asynccontextmanager
async def site_with_proxy(site: Site) -> AsyncIterator[FaultProxy]:
    """Start the controller, with a proxy before its agents' port."""
    try:
        await site.start_controller()
        async with fault_proxy(site.listen[0]) as proxy:
            yield proxy
    finally:
        await site.stop_controller()
