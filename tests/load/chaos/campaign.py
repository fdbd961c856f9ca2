"""campaign: faults as planned while operators work, then calm, then the checks."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pybible.wire.faults import POINTS
from tests.load.chaos.agents import real_agents, running_swarm
from tests.load.chaos.checks import Findings, check, running_runs, waiting_results
from tests.load.chaos.ctls import Ctls
from tests.load.chaos.marks import Marks
from tests.load.chaos.network import break_network, mend
from tests.load.chaos.operators import Engine, Operator, Speaker
from tests.load.chaos.site import QUICK, Site, end_all, site_with_proxy
from tests.support.fault_proxy import FaultProxy

# A third of the tasks take a while, so that much is in the middle of it when something happens.
SCRIPT = (
    "fail=0.02,lag=0.35:0.5,disconnect=0.01:0.3,restart=0.01:0.3,clone=0.0005:2,late=0.003:3,twice=0.03,never=0.0005"
)
# How long every agent may take to be back, once it is calm.
_CALM_SECONDS = 120.0
# How long a run may take to end whose ctl does not come back: the controller's patience, and as much again.
_RUNS_SECONDS = 180.0
_PROGRESS_SECONDS = 10.0
_CTLS = 2


def fired(point: str) -> str:
    """Return under which name it is counted how often a point was somebody's last."""
    return f"kill -9 at {point}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is to happen. `pause`: seconds between two things that happen to the network."""

    attempts: int
    seed: str
    swarm: int = 120
    real: int = 4
    operators: int = 16
    # How many hosts each task of a run has.
    width: int = 40
    pause: float = 2.0
    controller_life: int = 700
    agent_life: int = 8
    # How long a run waits for its ctl when its controller was killed, seconds.
    recovery: float = 12.0
    script: str = SCRIPT


@dataclass(slots=True, kw_only=True)
class Campaign:
    """What goes on, and what of it is known so far."""

    plan: Plan
    site: Site
    operators: list[Operator]
    marks: Marks
    wrong: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def enough(self) -> bool:
        """Whether there were as many attempts as are wanted, without those for agents that were not there."""
        return self.asked - self.absent >= self.plan.attempts

    @property
    def asked(self) -> int:
        """How many attempts were asked for."""
        return sum(len(lead.asked) for operator in self.operators for lead in operator.leads)

    @property
    def absent(self) -> int:
        """How many of them were for agents that were not there."""
        return sum(lead.reasons["not_connected"] for operator in self.operators for lead in operator.leads)

    def happened(self) -> Counter[str]:
        """Return how often what happened."""
        found = +self.site.happened
        found.update({fired(point): count for point, count in self.site.fired().items()})
        found.update({f"swarm: {deed}": count for deed, count in self.marks.deeds.items()})
        return found

    def found_so_far(self) -> list[str]:
        """Return what is wrong already."""
        leads = [lead for operator in self.operators for lead in operator.leads]
        return [*self.wrong, *self.marks.wrong, *(text for lead in leads for text in lead.wrong)]


async def run(
    plan: Plan, folder: Path, *, say: Callable[[str], None], before: Mapping[str, int] = MappingProxyType({})
) -> tuple[Findings, Counter[str]]:
    """Do it, and return what was found and what happened. `say` is told every few seconds how far it is.

    `before`: what happened in the campaigns that this one goes on with.
    """
    draw = random.Random(plan.seed)
    site = Site(
        folder=folder,
        draw=draw,
        controller_life=plan.controller_life,
        agent_life=plan.agent_life,
        settings=QUICK.format(recovery=plan.recovery),
        fired_before=Counter({point: before.get(fired(point), 0) for point in POINTS}),
    )
    swarm_marks, real_marks = folder / "swarm.marks", folder / "real.marks"
    async with (
        site_with_proxy(site) as proxy,
        asyncio.TaskGroup() as group,
        running_swarm(
            site,
            agents=plan.swarm,
            seed=str(draw.randrange(10**9)),
            script=plan.script,
            dial=proxy.address,
            marks=swarm_marks,
        ) as swarm,
        real_agents(site, group, agents=plan.real, dial=proxy.address) as real,
    ):
        operators = list(_operators(plan, site, swarm=swarm, real=real, marks=real_marks))
        campaign = Campaign(plan=plan, site=site, operators=operators, marks=Marks([swarm_marks, real_marks]))
        await _until_attached(campaign, {*swarm, *real})
        progress = group.create_task(_tell(campaign, say))
        ctls = Ctls(site=site, hosts=[*swarm[:5], *real], pause=plan.pause)
        async with _faults(site, proxy, ctls, pause=plan.pause):
            await _lead_all(campaign)
        await _until_attached(campaign, {*swarm, *real})
        folders = [folder / "agents" / name for name in swarm] + [folder / "real" / name for name in real]
        store = site.state / "controller.db"
        await _until(lambda: not waiting_results(folders), _CALM_SECONDS / 4)
        await _until(lambda: not running_runs(store), _RUNS_SECONDS)
        await end_all([progress])
    leads = [lead for operator in operators for lead in operator.leads]
    found = check(leads, marks=campaign.marks, store=store, folders=folders, starts=site.starts)
    found.wrong += [*campaign.wrong, *ctls.wrong]
    return found, campaign.happened()


def _operators(plan: Plan, site: Site, *, swarm: list[str], real: list[str], marks: Path) -> Iterable[Operator]:
    """Make the operators: one of four speaks the protocol himself."""
    for number in range(plan.operators):
        kind = Speaker if number % 4 == 0 else Engine
        draw = random.Random(f"{plan.seed}/{number}")
        yield kind(socket=site.socket, swarm=swarm, real=real, marks=marks, draw=draw, width=plan.width)


@asynccontextmanager
async def _faults(site: Site, proxy: FaultProxy, ctls: Ctls, *, pause: float) -> AsyncIterator[None]:
    """Break the network, and kill the controller and ctls at their points, as long as the block lasts."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(break_network(site, proxy, pause=pause)),
            group.create_task(site.keep_controller()),
            *(group.create_task(ctls.run()) for _ in range(_CTLS)),
        ]
        try:
            yield
        finally:
            site.calm.set()
            mend(proxy)
            await end_all(tasks)
        await site.stop_controller()
        await site.start_controller()


async def _lead_all(campaign: Campaign) -> None:
    async with asyncio.TaskGroup() as group:
        for operator in campaign.operators:
            group.create_task(operator.work(campaign.enough))


async def _until_attached(campaign: Campaign, wanted: set[str]) -> None:
    """Wait until all these agents have a session. That some have not after all this time is a finding."""
    missing = wanted
    try:
        async with asyncio.timeout(_CALM_SECONDS):
            while missing := await campaign.site.missing(wanted):  # noqa: ASYNC110  another process's news
                await asyncio.sleep(0.2)
    except TimeoutError:
        campaign.wrong.append(f"not attached after {_CALM_SECONDS:.0f} s: {', '.join(sorted(missing))}")


async def _until(what: Callable[[], bool], seconds: float) -> None:
    """Wait until other processes' files say so, or it is clear that they never will."""
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.5)


async def _tell(campaign: Campaign, say: Callable[[str], None]) -> None:
    """Say every few seconds how far it is, and what is wrong as soon as it is known. Ends when cancelled."""
    told = 0
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        campaign.marks.follow()
        happened = campaign.happened()
        seconds = time.monotonic() - campaign.began
        kills = {who: happened[f"kill -9: {who}"] for who in ("controller", "agent", "ctl")}
        breaks = sum(count for what, count in happened.items() if what.startswith("network"))
        rate = 60 * campaign.asked / seconds
        say(
            f"{seconds:4.0f} s: {campaign.asked} attempts, {rate:.0f} a minute; killed {kills}, {breaks} network faults"
        )
        wrong = campaign.found_so_far()
        for text in wrong[told:]:
            say(f"WRONG: {text}")
        told = len(wrong)


def merged(all_found: Sequence[Findings]) -> Findings:
    """Return the findings of several campaigns as one."""
    total = Findings()
    for found in all_found:
        for name in Findings.__slots__:
            setattr(total, name, getattr(total, name) + getattr(found, name))
    return total
