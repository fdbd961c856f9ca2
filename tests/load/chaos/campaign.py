"""campaign: faults as planned while operators work, then calm, then the checks."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.load.chaos.checks import Findings, check, waiting_results
from tests.load.chaos.operators import Operator
from tests.load.chaos.site import Site, break_network, end_all, mend, real_agents, running_swarm, site_with_proxy
from tests.support.fault_proxy import FaultProxy

SCRIPT = "fail=0.02,lag=0.03:0.2,disconnect=0.02:0.3,restart=0.02:0.3,late=0.005:3,twice=0.03,never=0.001"
_CALM_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is to happen. `pause`: seconds between two things that happen to the network."""

    attempts: int
    seed: int
    swarm: int = 30
    real: int = 3
    operators: int = 4
    # How many hosts each task of a run has.
    width: int = 20
    pause: float = 2.0
    controller_life: int = 300
    agent_life: int = 20
    script: str = SCRIPT


async def run(plan: Plan, folder: Path) -> tuple[Findings, dict[str, int]]:
    """Do it, and return what was found and what happened."""
    draw = random.Random(plan.seed)
    site = Site(folder=folder, draw=draw, controller_life=plan.controller_life, agent_life=plan.agent_life)
    swarm_marks, real_marks = folder / "swarm.marks", folder / "real.marks"
    async with (
        site_with_proxy(site) as proxy,
        asyncio.TaskGroup() as group,
        running_swarm(
            site, agents=plan.swarm, seed=plan.seed, script=plan.script, dial=proxy.address, marks=swarm_marks
        ) as swarm,
        real_agents(site, group, agents=plan.real, dial=proxy.address) as real,
    ):
        operators = [
            Operator(
                number=number,
                socket=site.socket,
                swarm=swarm,
                real=real,
                marks=real_marks,
                draw=random.Random(f"{plan.seed}/{number}"),
                width=plan.width,
            )
            for number in range(plan.operators)
        ]
        folders = [folder / "agents" / name for name in swarm] + [folder / "real" / name for name in real]
        await _until_attached(site, {*swarm, *real})
        async with _faults(site, proxy, pause=plan.pause, hosts=[*swarm[:5], *real]):
            await _lead_all(operators, plan.attempts)
        await _until_attached(site, {*swarm, *real})
        await _until_handed_over(folders)
    leads = [lead for operator in operators for lead in operator.leads]
    store = site.state / "controller.db"
    return check(leads, marks=[swarm_marks, real_marks], store=store, folders=folders), site.happened


@asynccontextmanager
async def _faults(site: Site, proxy: FaultProxy, *, pause: float, hosts: Sequence[str]) -> AsyncIterator[None]:
    """Break the network, and kill the controller and ctls at their points, as long as the block lasts."""
    await site.stop_controller()
    await site.start_controller(fault=site.controller_fault())
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(break_network(site, proxy, pause=pause)),
            group.create_task(site.keep_controller()),
            group.create_task(site.keep_ctl(hosts, pause=2 * pause)),
        ]
        yield
        site.calm.set()
        mend(proxy)
        await end_all(tasks)
        await site.stop_controller()
        await site.start_controller()


async def _lead_all(operators: list[Operator], attempts: int) -> None:
    def enough() -> bool:
        return sum(len(lead.asked) for operator in operators for lead in operator.leads) >= attempts

    async with asyncio.TaskGroup() as group:
        for operator in operators:
            group.create_task(operator.work(enough))


async def _until_attached(site: Site, wanted: set[str]) -> None:
    async with asyncio.timeout(_CALM_SECONDS):
        while not await site.attached(wanted):  # noqa: ASYNC110  another process's news
            await asyncio.sleep(0.2)


async def _until_handed_over(folders: list[Path]) -> None:
    """Wait until every result is acknowledged, or it is clear that one never will be."""
    deadline = time.monotonic() + _CALM_SECONDS / 4
    while waiting_results(folders) and time.monotonic() < deadline:  # noqa: ASYNC110  other processes' files
        await asyncio.sleep(0.5)
