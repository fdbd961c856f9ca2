"""The command: python -m tests.load.soak."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pybible.agent.swarm.identities import enrol_all
from pybible.server.controller.config import Address
from pybible.v1 import fleet_pb2, fleet_pb2_grpc
from tests.load.chaos.checks import waiting_results
from tests.load.chaos.operators import operators_channel
from tests.load.processes import cpu_seconds
from tests.load.soak.faults import SCRIPT, RealAgent, break_network, kill_now_and_then
from tests.load.soak.operators import Site, Tally, ask_lists, lead_runs, run_ctl, running_runs
from tests.load.soak.report import Report, conclude, tell_end, tell_progress
from tests.load.soak.samples import Samples
from tests.load.swarm.processes import Swarm, swarm
from tests.support.fault_proxy import fault_proxy
from tests.support.lab import Lab, lab

_CALM_SECONDS = 180.0
_TOLD_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much and how long. `kept`: seconds after which the controller removes runs."""

    minutes: float
    agents: int
    seed: int
    rate: float
    every: float
    kept: float


@dataclass(slots=True, kw_only=True)
class Course:
    """How a soak goes. What it has when it is broken off is worth a look, too."""

    report: Report
    # The samples' file.
    csv: Path
    samples: Samples | None = None
    tally: Tally = field(default_factory=Tally)
    happened: Counter[str] = field(default_factory=Counter)
    cores: float = 0.0


async def soak(plan: Plan, course: Course, folder: Path) -> None:
    """Do it. SIGTERM breaks it off."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = (
        f'enroll_rate = 100000.0\nlog_level = "warning"\nmetrics_listen = "127.0.0.1:{port}"\n'
        f"runs_kept_for = {plan.kept}\n"
    )
    with lab(agents=0, state=folder / "lab", config=settings) as running:
        path = running.controller.removeprefix("unix:")
        names = ["real1", "real2"]
        (folder / "real").mkdir()
        await enrol_all([folder / "real" / name for name in names], await _token(path, uses=len(names)))
        address = json.loads((running.folder / "controller" / "addresses.json").read_text())["agents"]
        async with fault_proxy(address) as proxy, fault_proxy(address) as other:
            words = ["--seed", str(plan.seed), "--script", SCRIPT, "--dial", proxy.address, "--reconnect-limit", "5"]
            with swarm(agents=plan.agents, state=folder / "swarm", socket=path, words=words) as fleet:
                await asyncio.to_thread(fleet.wait_attached, 600)
                site = Site(
                    socket=path,
                    swarm=[f"swarm{number:05}" for number in range(1, plan.agents + 1)],
                    real=names,
                    marks=folder / "marks",
                    draw=random.Random(plan.seed),
                    tally=course.tally,
                )
                steady = RealAgent(folder / "real" / "real1", other.address)
                shaken = RealAgent(folder / "real" / "real2", proxy.address)
                async with _living([steady, shaken]):
                    await _all_ready(site)
                    happened = course.happened
                    samples = course.samples = Samples(
                        {
                            "controller": lambda: running.pids["controller"],
                            "agent": lambda: steady.pid,
                            "worker": lambda: steady.worker,
                        },
                        Address("127.0.0.1", port),
                        file=course.csv,
                    )
                    draw = random.Random(plan.seed)
                    faults = [
                        break_network(proxy, draw, pause=10.0, happened=happened),
                        break_network(other, draw, pause=60.0, happened=happened),
                        kill_now_and_then(lambda: shaken.worker, draw, pause=20.0, what="worker", happened=happened),
                        kill_now_and_then(lambda: shaken.pid, draw, pause=120.0, what="agent", happened=happened),
                        samples.take(plan.every),
                        _tell(course),
                    ]
                    course.cores = await _work(plan, site, faults, folder=folder, running=running, fleet=fleet)
                    proxy.resume()
                    other.resume()
                    await _all_ready(site)
                    await _settled(site, folder)
        # The proxies' connections end in turns of the loop of their own.
        await asyncio.sleep(0.5)


async def _tell(course: Course) -> None:
    """Say every minute how far it is, until cancelled."""
    began = time.monotonic()
    while course.samples is not None:
        await asyncio.sleep(_TOLD_SECONDS)
        tell_progress(course.report, course.samples, course.tally, minutes=(time.monotonic() - began) / 60)


async def _work(
    plan: Plan, site: Site, faults: Sequence[Coroutine[None, None, None]], *, folder: Path, running: Lab, fleet: Swarm
) -> float:
    """Let operators work and faults happen for as long as it is to last; return the cores used."""
    pids = [running.pids["controller"], *fleet.pids]
    used, began = cpu_seconds(pids) + time.process_time(), time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in faults]
        for _ in range(2):
            group.create_task(lead_runs(site, plan.rate / 2))
        group.create_task(ask_lists(site, 5.0))
        group.create_task(run_ctl(site, folder, 30.0))
        await asyncio.sleep(plan.minutes * 60)
        site.calm.set()
        for task in tasks:
            task.cancel()
    return (cpu_seconds(pids) + time.process_time() - used) / (time.monotonic() - began)


async def _token(path: str, *, uses: int) -> str:
    async with operators_channel(path) as channel:
        stub: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
        return (await stub.CreateToken(fleet_pb2.CreateTokenRequest(uses=uses))).token


@asynccontextmanager
async def _living(agents: Sequence[RealAgent]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(agent.run()) for agent in agents]
        yield
        for task in tasks:
            task.cancel()


async def _all_ready(site: Site) -> None:
    """Wait until every agent has a session."""
    wanted = {*site.swarm, *site.real}
    async with asyncio.timeout(_CALM_SECONDS):
        while True:
            ready, after = set(), ""
            async with operators_channel(site.socket) as channel:
                stub: fleet_pb2_grpc.FleetServiceAsyncStub = fleet_pb2_grpc.FleetServiceStub(channel)
                while True:
                    listed = await stub.ListAgents(fleet_pb2.ListAgentsRequest(after=after))
                    ready |= {each.name for each in listed.agents if each.state == fleet_pb2.SESSION_STATE_READY}
                    if not (after := listed.next):
                        break
            if wanted <= ready:
                return
            await asyncio.sleep(0.5)


async def _settled(site: Site, folder: Path) -> None:
    """Check that nothing is left open, nothing waits to be handed over, and nothing was done twice."""
    wrong = site.tally.wrong
    wrong += [f"run {run_id} is still running" async for run_id in running_runs(site.socket)]
    folders = [folder / "swarm" / name for name in site.swarm] + [folder / "real" / name for name in site.real]
    deadline = time.monotonic() + _CALM_SECONDS / 6
    while (waiting := waiting_results(folders)) and time.monotonic() < deadline:  # noqa: ASYNC110  others' files
        await asyncio.sleep(0.5)
    wrong += [f"the result of {name} was never handed over" for name in waiting]
    marks = Counter(site.marks.read_text().split()) if site.marks.exists() else Counter[str]()
    wrong += [f"{name} was executed {count} times" for name, count in marks.items() if count > 1]


def main() -> int:
    """Do it and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--agents", type=int, default=500, help="of the swarm, beside two real ones")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--rate", type=float, default=60.0, help="attempts a second")
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="between samples")
    parser.add_argument("--kept", type=float, metavar="SECONDS", help="the controller's runs_kept_for")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/soak"), help="report.txt and samples.csv are written here as it goes"
    )
    options = parser.parse_args()
    plan = Plan(
        minutes=options.minutes,
        agents=options.agents,
        seed=options.seed,
        rate=options.rate,
        every=options.every,
        kept=options.kept or options.minutes * 60 / 6,
    )
    options.folder.mkdir(parents=True, exist_ok=True)
    course = Course(report=Report(options.folder / "report.txt"), csv=options.folder / "samples.csv")
    course.report.say(f"seed {plan.seed}, {plan.minutes:g} minutes, {plan.agents} agents")
    whole = False
    try:
        with tempfile.TemporaryDirectory(prefix="soak") as scratch:
            asyncio.run(soak(plan, course, Path(scratch)))
        whole = True
    except (KeyboardInterrupt, asyncio.CancelledError):
        course.report.say("broken off")
    except Exception:
        course.report.say(f"broken off:\n{traceback.format_exc()}")
    tell_end(course.report, course.tally, course.happened, cores=course.cores)
    return 0 if course.samples is not None and conclude(course.report, course.samples, course.tally) and whole else 1


if __name__ == "__main__":
    sys.exit(main())
