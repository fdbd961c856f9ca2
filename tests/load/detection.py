"""detection: how soon a controller with its default settings knows that an agent is gone.

`python -m tests.load.detection [--tries 200]`. Resets: the connection of a live agent is reset, or its process is
killed with kill -9. Silent partitions: a proxy loses all that comes, in both directions or in one. Each agent has a
proxy of its own, and a task of a run with no grace. Two moments are measured from the fault on: when the agent is
SUSPECT, as the controller's log says, and when whoever leads the run has the task's verdict. A partition takes half a
minute to be seen, so that many go on at a time: each agent is cut off again and again, at moments of its own. They are
fewer than those with whose absence a storm begins (in a storm no clock runs out). Exit status 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pybible.agent.config import Config
from pybible.agent.swarm.identities import enrol_all
from pybible.server.client.connection import Endpoint
from pybible.server.client.opener import ControllerOpener
from pybible.server.client.run_dispatcher import RunDispatcher
from pybible.server.engine.dispatcher import RunRequest, Target
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from pybible.wire import logs
from pybible.wire.tasks import TaskSpec
from tests.load.chaos.site import Site, end_all
from tests.load.swarm.agent import SwarmAgent, Terms
from tests.load.swarm.script import Script
from tests.support.agent import running_agent
from tests.support.fault_proxy import FaultProxy, Way, fault_proxy

# All that bears on detection is as delivered.
_SETTINGS = "enroll_rate = 100000.0\nlog_format = 'json'\nlog_level = 'info'\n"
_RESET_SECONDS = 1.0
_PARTITION_SECONDS = 35.0
# An agent is cut off within so long of its return: anywhere between two heartbeats, or two pings.
_SPREAD_SECONDS = 20.0
# As many agents as may be away without a storm.
_MOST_AGENTS = 45
_PATIENCE = 120.0
_REAL = 4
_CUTS: dict[str, tuple[Way, ...]] = {
    "both directions lost": (Way.UP, Way.DOWN),
    "only to the controller lost": (Way.UP,),
    "only to the agent lost": (Way.DOWN,),
}


@dataclass(slots=True)
class Tries:
    """What was measured of one kind of fault, in seconds."""

    bound: float
    suspect: list[float] = field(default_factory=list)
    verdict: list[float] = field(default_factory=list)

    @property
    def missed(self) -> bool:
        """Whether the bound is missed: by the 99th percentile of either."""
        return any(not values or quantile(values, 0.99) > self.bound for values in (self.suspect, self.verdict))


@dataclass(slots=True)
class _Fault:
    """A fault that happened to an agent. `verdict`: when the run heard of it. Seconds since the epoch."""

    kind: str
    agent: str
    began: float
    verdict: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Lab:
    """A controller, and the agents that are attached to it through proxies of their own."""

    site: Site
    draw: random.Random
    proxies: dict[str, FaultProxy]
    faults: list[_Fault] = field(default_factory=list)

    @asynccontextmanager
    async def run(self, agents: int) -> AsyncIterator[RunDispatcher]:
        """Open a run with no grace, in which so many may be out."""
        opener = ControllerOpener(Endpoint.local(Path(self.site.socket)))
        async with opener.open(RunRequest(name="detection", forks=agents, disconnect_grace=0.0)) as run:
            yield run
            await run.finish(exit_status=0)

    async def attached(self, names: set[str]) -> None:
        """Wait until these agents are."""
        async with asyncio.timeout(_PATIENCE):
            while await self.site.missing(names):  # noqa: ASYNC110  another process's news
                await asyncio.sleep(0.2)

    async def lose(
        self, run: RunDispatcher, name: str, kind: str, *, spec: TaskSpec, strike: Callable[[], Awaitable[None]]
    ) -> None:
        """Have a task out on an agent, let the fault happen, and note when the task has its verdict."""
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(run.run(Target(host=name, agent=name), spec, task_id="t"))
            await self._out(name)
            await strike()
            fault = _Fault(kind, name, time.time())
            waiting.add_done_callback(lambda _task: setattr(fault, "verdict", time.time()))
            self.faults.append(fault)
        outcome = waiting.result()
        if outcome.reason != "lost_mid_task":
            raise AssertionError(f"the task on {name} ended: {outcome}")

    async def _out(self, name: str) -> None:
        """Wait until a task is out on an agent."""
        request = fleet_pb2.GetAgentRequest(agent=name)
        async with self.site.channel() as channel, asyncio.timeout(_PATIENCE):
            stub: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
            while not (await stub.GetAgent(request)).agent.running:  # noqa: ASYNC110  another process's news
                await asyncio.sleep(0.02)


async def measure(*, tries: int, seed: int, agents: int, folder: Path, say: Callable[[str], None]) -> dict[str, Tries]:
    """Do all of it, and return what was measured, by the kind of fault."""
    draw = random.Random(seed)
    site = Site(folder=folder, draw=draw, controller_life=0, agent_life=0, settings=_SETTINGS)
    await site.start_controller()
    try:
        names = [f"swarm{number:03}" for number in range(agents)]
        real = [f"real{number}" for number in range(_REAL)]
        await enrol_all([folder / name for name in (*names, *real)], await site.token(agents + _REAL))
        async with AsyncExitStack() as stack:
            proxies = {name: await stack.enter_async_context(fault_proxy(site.listen[0])) for name in names}
            lab = _Lab(site=site, draw=draw, proxies=proxies)
            async with asyncio.TaskGroup() as group:
                swarm = [group.create_task(SwarmAgent(folder / name, _terms(lab, name)).run()) for name in names]
                await lab.attached(set(names))
                await _resets(lab, tries - tries // 2)
                say("connections were reset")
                await _kills(lab, real, tries // 2)
                say("agents were killed")
                await _partitions(lab, tries)
                say("agents were cut off without a word")
                await end_all(swarm)
    finally:
        await site.stop_controller()
    return _results(lab.faults, folder / "controller.log", folder)


def _terms(lab: _Lab, name: str) -> Terms:
    config = Config(
        controller=lab.proxies[name].address, reconnect_limit=1.0, restart_after=0.0, facts_interval=0.0, slots=1024
    )
    # No task ever ends by itself: only the loss of its agent ends it.
    return Terms(config, Script("never=1"), lambda _attempt_id, _agent: None)


async def _resets(lab: _Lab, tries: int) -> None:
    """Reset the connection of one agent after the other, each at a moment of its own."""
    spec = TaskSpec(module="ping", args=b"{}")
    names = list(lab.proxies)
    async with lab.run(tries) as run:
        for number in range(tries):
            name = names[number % len(names)]
            await lab.attached({name})

            async def strike(proxy: FaultProxy = lab.proxies[name]) -> None:
                await asyncio.sleep(lab.draw.uniform(0.05, 0.15))
                proxy.reset()

            await lab.lose(run, name, "connection reset", spec=spec, strike=strike)


async def _kills(lab: _Lab, names: Sequence[str], tries: int) -> None:
    """Kill real agents, some at a time, again and again."""

    async def kill(run: RunDispatcher, name: str, count: int) -> None:
        folder = lab.site.folder / name
        spec = TaskSpec(module="command", args=b'{"_raw_params":"sleep 600"}')
        for _ in range(count):
            async with running_agent(folder, controller=lab.site.listen[0], log_level="warning") as agent:
                await lab.attached({name})

                async def strike(process: asyncio.subprocess.Process = agent.process) -> None:
                    await asyncio.sleep(lab.draw.uniform(0.3, 0.6))
                    process.kill()

                await lab.lose(run, name, "agent killed", spec=spec, strike=strike)

    async with lab.run(tries) as run, asyncio.TaskGroup() as group:
        for number, name in enumerate(names):
            group.create_task(kill(run, name, len(range(number, tries, len(names)))))


async def _partitions(lab: _Lab, tries: int) -> None:
    """Cut all agents off without a word, again and again, each at moments of its own."""
    spec = TaskSpec(module="ping", args=b"{}")
    kinds = itertools.cycle(_CUTS)

    async def cut_off(run: RunDispatcher, name: str, count: int) -> None:
        proxy = lab.proxies[name]
        for kind in itertools.islice(kinds, count):
            await lab.attached({name})

            async def strike(kind: str = kind) -> None:
                await asyncio.sleep(lab.draw.uniform(1.0, 1.0 + _SPREAD_SECONDS))
                proxy.drop(*_CUTS[kind])

            await lab.lose(run, name, kind, spec=spec, strike=strike)
            proxy.resume()
            proxy.reset()

    async with lab.run(tries) as run, asyncio.TaskGroup() as group:
        for number, name in enumerate(lab.proxies):
            group.create_task(cut_off(run, name, len(range(number, tries, len(lab.proxies)))))


def _results(faults: Sequence[_Fault], log: Path, folder: Path) -> dict[str, Tries]:
    """Put together what was measured, with the moments at which the controller's log says that agents are suspect."""
    ids = {name: json.loads((folder / name / "agent.json").read_text())["id"] for name in {f.agent for f in faults}}
    suspects: dict[str, list[float]] = {}
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        if entry.get("message") == "agent changed state" and entry.get("state") == "suspect":
            suspects.setdefault(entry["agent_id"], []).append(entry["time"])
    results: dict[str, Tries] = {}
    for fault in faults:
        bound = _PARTITION_SECONDS if fault.kind in _CUTS else _RESET_SECONDS
        tries = results.setdefault(fault.kind, Tries(bound))
        tries.verdict.append(fault.verdict - fault.began)
        # What was logged in the same moment may bear an earlier one.
        seen = [moment for moment in suspects.get(ids[fault.agent], []) if moment > fault.began - 0.01]
        tries.suspect.append(min(seen, default=float("inf")) - fault.began)
    return results


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of the values does not exceed."""
    return sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.detection", description=__doc__)
    parser.add_argument("--tries", type=int, default=200, help="resets in all, and as many silent partitions")
    parser.add_argument("--agents", type=int, default=40, help=f"how many are cut off at a time (<= {_MOST_AGENTS})")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    if not 0 < options.agents <= _MOST_AGENTS:
        parser.error(f"--agents must be from 1 to {_MOST_AGENTS}")
    logs.configure(level="error", style="line")
    _say(f"seed {options.seed}")
    with tempfile.TemporaryDirectory(prefix="detect") as scratch:
        results = asyncio.run(
            measure(tries=options.tries, seed=options.seed, agents=options.agents, folder=Path(scratch), say=_say)
        )
    partitions, resets = Tries(_PARTITION_SECONDS), Tries(_RESET_SECONDS)
    for kind, tries in results.items():
        _show(kind, tries)
        whole = partitions if kind in _CUTS else resets
        whole.suspect += tries.suspect
        whole.verdict += tries.verdict
    for kind, whole in (("all resets", resets), ("all partitions", partitions)):
        _show(kind, whole)
    # Of a reset, every single one.
    missed = partitions.missed or max(*resets.suspect, *resets.verdict) > _RESET_SECONDS
    _say("missed" if missed else "kept")
    return 1 if missed else 0


def _show(kind: str, tries: Tries) -> None:
    for what, values in (("suspect", tries.suspect), ("verdict", tries.verdict)):
        median, late, most = quantile(values, 0.5), quantile(values, 0.99), max(values)
        _say(f"{kind:28} {len(values):4} tries, {what}: median {median:.3f} s, p99 {late:.3f}, most {most:.3f}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
