"""agents: a swarm that does as its script says, and real agents that are killed and started again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pybible.agent.swarm.identities import enrol_all
from tests.load.chaos.site import Site, end_all, points_of
from tests.support.agent import AgentProcess, running_agent

# Each worker counts for itself, and the next one dies as well: after so many tasks at most, for so long.
_WORKER_LIFE = 3
_SECONDS = 6.0


@asynccontextmanager
async def running_swarm(
    site: Site, *, agents: int, seed: str, script: str, dial: str, marks: Path
) -> AsyncIterator[list[str]]:
    """Run a swarm of so many agents in a process of its own; give their names."""
    folder = site.folder / "agents"
    names = [f"swarm{number:05}" for number in range(1, agents + 1)]
    folder.mkdir(exist_ok=True)
    await enrol_all([folder / name for name in names], await site.token(agents))
    with (site.folder / "swarm.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.load.swarm.fleet", "--agents", str(agents), "--state", str(folder)),
            *("--seed", seed, "--script", script, "--marks", str(marks), "--dial", dial),
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
    tasks = [group.create_task(_keep(site, folder / name, dial)) for name in names]
    try:
        yield names
    finally:
        await end_all(tasks)


async def _keep(site: Site, folder: Path, dial: str) -> None:
    """Run a real agent, and start it again whenever it dies, to die at another point. Ends when cancelled."""
    settings = {"controller": dial, "reconnect_limit": 1.0, "log_level": "warning"}
    while True:
        point = "" if site.calm.is_set() else site.choose(points_of("agent", "worker"))
        most = _WORKER_LIFE if point.startswith("worker") else site.agent_life
        environment = site.environment(point, most=most)
        async with running_agent(folder, environment=environment, **settings) as agent:
            await _live(site, agent, seconds=0.0 if not point else site.draw.uniform(0.5, 1.0) * _SECONDS)
        site.note("kill -9: agent")


async def _live(site: Site, agent: AgentProcess, *, seconds: float) -> None:
    """Wait for the end of an agent, for so long at most (0: for ever): whoever runs it kills it then."""
    try:
        async with asyncio.timeout(seconds or None):
            await agent.process.wait()
    except TimeoutError:
        site.note("kill -9: agent, at any moment")
