"""scale: one controller and more and more agents: attaching, memory, idling, a restart, runs on them.

`python -m tests.load.scale [--agents 50,200,1000] [--forks 500] [--plots DIR]`. The controller and pybible-ctl are the
real commands, the agents a swarm of their own code; all share this machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.load import plots, workloads
from tests.load.goals import Reached, print_goals
from tests.load.peers import timed
from tests.load.processes import cpu_seconds, memory_bytes, resident_bytes
from tests.load.site import Site, site
from tests.load.swarm.processes import Swarm
from tests.load.workloads import Workload

_KIB = 1024
_SETTLE_SECONDS = 3.0
# The realistic play is run on no more hosts than this, and at least so many host-tasks of it: few tell nothing.
_REALISTIC_HOSTS = 1000
_REALISTIC_HOST_TASKS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run, or the mean of several: seconds, CPU seconds a host-task, and bytes. An empty play's: in all."""

    wall: float
    controller: float
    ctl: float
    agents: float
    ctl_memory: int

    @property
    def cpu(self) -> float:
        """What a host-task costs all ends together."""
        return self.controller + self.ctl + self.agents


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What was measured with so many agents. Seconds, bytes; CPU seconds a second, or a host-task."""

    agents: int
    enrol: float
    attach: float
    attach_cpu: float
    memory: int
    memory_each: float
    swarm_each: float
    idle_cpu: float
    swarm_idle_cpu: float
    ping: float
    ping_controller_cpu: float
    ping_ctl_cpu: float
    ping_agent_cpu: float
    ctl_memory: int
    restart: float
    restart_memory: int
    realistic: _Run
    # The largest of a run of twenty pings on 1,000 agents; 0 with fewer.
    long_ctl_memory: int
    storms: int
    storm_lost: int
    storm_back: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured: how often, how long (seconds), with how many processes for the agents."""

    forks: int
    rounds: int
    idle: float
    processes: int
    storms: int


def measure(agents: int, plan: Plan) -> Point:
    """Measure a controller with so many agents."""
    with site() as here:
        empty = resident_bytes(here.pid)
        began = time.monotonic()
        with here.fleet(agents, processes=plan.processes) as fleet:
            fleet.wait_enrolled(1800)
            enrol = time.monotonic() - began
            used = cpu_seconds([here.pid])
            attach = fleet.wait_attached(600)
            attach_cpu = cpu_seconds([here.pid]) - used
            time.sleep(_SETTLE_SECONDS)
            memory = resident_bytes(here.pid)
            idle_cpu, swarm_idle_cpu = _idle(here, fleet, plan.idle)
            swarm_each = memory_bytes(fleet.pids) / agents
            ping = workloads.repeated("ping", "ping:", 1)
            pings = [_run(here, fleet, ping, hosts=agents, forks=plan.forks) for _ in range(plan.rounds)]
            realistic = _realistic(here, fleet, plan, hosts=min(agents, _REALISTIC_HOSTS))
            long = workloads.repeated("long", "ping:", 20)
            long_ctl = _run(here, fleet, long, hosts=1000, forks=plan.forks).ctl_memory if agents >= 1000 else 0
            storms = [_storm(here, fleet, plan.forks) for _ in range(plan.storms)]
            restart = _restart(here, fleet)
            return Point(
                agents=agents,
                enrol=enrol,
                attach=attach,
                attach_cpu=attach_cpu / agents,
                memory=memory,
                memory_each=(memory - empty) / agents,
                swarm_each=swarm_each,
                idle_cpu=idle_cpu,
                swarm_idle_cpu=swarm_idle_cpu,
                ping=statistics.median(each.wall for each in pings),
                ping_controller_cpu=statistics.median(each.controller for each in pings),
                ping_ctl_cpu=statistics.median(each.ctl for each in pings),
                ping_agent_cpu=statistics.median(each.agents for each in pings),
                ctl_memory=max(each.ctl_memory for each in pings),
                restart=restart,
                restart_memory=resident_bytes(here.pid),
                realistic=realistic,
                long_ctl_memory=long_ctl,
                storms=len(storms),
                storm_lost=sum(lost for lost, _ in storms),
                storm_back=max((back for _, back in storms), default=0.0),
            )


def _idle(site: Site, fleet: Swarm, seconds: float) -> tuple[float, float]:
    """Return how much of a core the controller and the swarm use while nothing is to be done."""
    pids = ([site.pid], fleet.pids)
    before, began = [cpu_seconds(each) for each in pids], time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    controller, agents = ((cpu_seconds(each) - start) / took for each, start in zip(pids, before, strict=True))
    return controller, agents


def _run(site: Site, fleet: Swarm, workload: Workload, *, hosts: int, forks: int) -> _Run:
    """Run a workload on so many hosts, and see to it that all of them answered."""
    before = cpu_seconds([site.pid]), cpu_seconds(fleet.pids)
    timing = timed(site.command(workload, agents=hosts, forks=forks))
    count = hosts * workload.tasks or 1
    return _Run(
        wall=timing.wall,
        controller=(cpu_seconds([site.pid]) - before[0]) / count,
        ctl=timing.cpu / count,
        agents=(cpu_seconds(fleet.pids) - before[1]) / count,
        ctl_memory=timing.memory,
    )


def _realistic(site: Site, fleet: Swarm, plan: Plan, *, hosts: int) -> _Run:
    """Return the mean of runs of ten realistic tasks. What an empty play on the same hosts costs is taken off."""
    workload = workloads.realistic(Path("/srv"))
    count = hosts * workload.tasks
    tries = range(max(plan.rounds, _REALISTIC_HOST_TASKS // count))
    found = [_run(site, fleet, workload, hosts=hosts, forks=plan.forks) for _ in tries]
    empty = [_run(site, fleet, workloads.empty(), hosts=hosts, forks=plan.forks) for _ in tries]

    def net(of: Callable[[_Run], float]) -> float:
        return statistics.fmean(of(run) for run in found) - statistics.fmean(of(run) for run in empty) / count

    return _Run(
        wall=statistics.fmean(run.wall for run in found),
        controller=net(lambda run: run.controller),
        ctl=net(lambda run: run.ctl),
        agents=net(lambda run: run.agents),
        ctl_memory=max(run.ctl_memory for run in found),
    )


def _storm(site: Site, fleet: Swarm, forks: int) -> tuple[int, float]:
    """Cut a third off while all are pinged. Return how many hosts did not answer, and after how long all were back."""
    process = subprocess.Popen(
        site.command(workloads.repeated("ping", "ping:", 1), agents=fleet.agents, forks=forks),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    # The first answers are there: the others are out, or wait.
    for line in process.stdout:
        if line.startswith("ok:"):
            break
    began = time.monotonic()
    fleet.storm()
    screen, _ = process.communicate(timeout=600)
    fleet.wait_attached(600)
    return fleet.agents - screen.count(" ok=1 "), time.monotonic() - began


def _restart(site: Site, fleet: Swarm) -> float:
    """Kill the controller and start it anew; return how long it took until every agent was back."""
    began = time.monotonic()
    site.lab.kill("controller")
    fleet.wait_gone(60)
    site.lab.start_controller("--config", str(site.config))
    fleet.wait_attached(600)
    return time.monotonic() - began


_COLUMNS: tuple[tuple[str, Callable[[Point], str]], ...] = (
    ("agents", lambda point: str(point.agents)),
    ("enrol s", lambda point: f"{point.enrol:.1f}"),
    ("attach s", lambda point: f"{point.attach:.1f}"),
    ("us each", lambda point: f"{point.attach_cpu * 1e6:.0f}"),
    ("MiB", lambda point: f"{point.memory / _KIB**2:.0f}"),
    ("KiB each", lambda point: f"{point.memory_each / _KIB:.1f}"),
    ("idle", lambda point: f"{point.idle_cpu:.1%}"),
    ("us/s each", lambda point: f"{point.idle_cpu / point.agents * 1e6:.0f}"),
    ("ping s", lambda point: f"{point.ping:.2f}"),
    ("controller", lambda point: f"{point.ping_controller_cpu * 1e6:.0f}"),
    ("ctl", lambda point: f"{point.ping_ctl_cpu * 1e6:.0f}"),
    ("agent", lambda point: f"{point.ping_agent_cpu * 1e6:.0f}"),
    ("ctl MiB", lambda point: f"{point.ctl_memory / _KIB**2:.0f}"),
    ("W3 s", lambda point: f"{point.realistic.wall:.1f}"),
    ("W3 us", lambda point: f"{point.realistic.cpu * 1e6:.0f}"),
    ("restart s", lambda point: f"{point.restart:.1f}"),
    ("then MiB", lambda point: f"{point.restart_memory / _KIB**2:.0f}"),
    ("storms", lambda point: str(point.storms)),
    ("lost", lambda point: str(point.storm_lost)),
    ("back s", lambda point: f"{point.storm_back:.1f}"),
    ("swarm KiB each", lambda point: f"{point.swarm_each / _KIB:.0f}"),
)


def print_points(points: list[Point]) -> None:
    """Print a line for each."""
    print(
        "\nattach: until every agent had a session, and the controller's CPU for it; idle: of a core; ping: one task on"
    )
    print("all of them, and CPU in microseconds of each; restart: from kill -9 until all were back.")
    print(
        "Memory is resident, and each agent's is what the controller has more than without any. W3: ten realistic tasks"
    )
    print(
        "on up to 1,000 of them, and microseconds of CPU for a host-task at all ends together, without an empty play's."
    )
    print(
        "storms: a third is cut off while all are pinged; lost: hosts that did not answer; back: until all were back."
    )
    print("".join(f"{title:>{len(title) + 2}}" for title, _ in _COLUMNS))
    for point in points:
        print("".join(f"{text(point):>{len(title) + 2}}" for title, text in _COLUMNS), flush=True)


_ENDS: tuple[tuple[str, Callable[[_Run], float]], ...] = (
    ("controller", lambda run: run.controller),
    ("ctl", lambda run: run.ctl),
    ("agents", lambda run: run.agents),
)


def growth(points: list[Point]) -> str:
    """Compare what a host-task of the realistic play costs with 1,000 agents and with 50, in words."""
    cost = {point.agents: point.realistic for point in points}
    if not {50, 1000} <= cost.keys():
        return ""
    few, many = cost[50], cost[1000]
    parts = ", ".join(f"{name} {of(many) / of(few):.2f} x" for name, of in _ENDS)
    return (
        f"growth: a host-task costs {many.cpu * 1e6:.0f} us of CPU at 1,000 agents, {few.cpu * 1e6:.0f} at 50: "
        f"{many.cpu / few.cpu:.2f} x ({parts})"
    )


def reached(points: list[Point]) -> Iterator[Reached]:
    """Return the goals that these numbers of agents say something about."""
    cost = {point.agents: point.realistic for point in points}
    if {50, 1000} <= cost.keys():
        yield Reached("a host-task at 1,000 agents, x at 50", 1.3, cost[1000].cpu / cost[50].cpu, "x", most=True)
    for point in points:
        if point.long_ctl_memory:
            memory = point.long_ctl_memory / _KIB**2
            yield Reached("ctl, 1,000 hosts x 20 tasks", 200.0, memory, "MiB", most=True)
        if point.agents >= 10_000:
            each = point.memory_each / _KIB
            yield Reached(f"{point.agents} agents, controller's memory each", 100.0, each, "KiB", most=True)
            yield Reached(f"{point.agents} agents, back after a restart", 180.0, point.restart, "s", most=True)
            yield Reached(f"{point.agents} agents, ping to all", 30.0, point.ping, "s", most=True)


_FIGURES: tuple[tuple[str, Callable[[Point], float]], ...] = (
    ("attach, seconds", lambda point: point.attach),
    ("restart, seconds", lambda point: point.restart),
    ("ping to all, seconds", lambda point: point.ping),
    ("realistic run, seconds", lambda point: point.realistic.wall),
    ("memory of an agent, KiB", lambda point: point.memory_each / _KIB),
    ("attach, controller us of an agent", lambda point: point.attach_cpu * 1e6),
    ("idle, controller us of an agent a second", lambda point: point.idle_cpu / point.agents * 1e6),
    ("ping, controller us of a host-task", lambda point: point.ping_controller_cpu * 1e6),
    ("ping, ctl us of a host-task and its start", lambda point: point.ping_ctl_cpu * 1e6),
    ("realistic, controller us of a host-task", lambda point: point.realistic.controller * 1e6),
    ("realistic, ctl us of a host-task", lambda point: point.realistic.ctl * 1e6),
    ("realistic, us of a host-task at all ends", lambda point: point.realistic.cpu * 1e6),
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", default="50,200,1000,5000,10000", help="numbers of agents, separated by commas")
    parser.add_argument("--forks", type=int, default=500, help="of the ping to all")
    parser.add_argument("--rounds", type=int, default=3, help="how often all are pinged; the median counts")
    parser.add_argument("--idle", type=float, default=20.0, metavar="SECONDS", help="how long idling is looked at")
    parser.add_argument("--processes", type=int, default=2, help="how many processes share the agents")
    parser.add_argument("--storms", type=int, default=0, help="how often a third is cut off while all are pinged")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw each figure into this folder")
    options = parser.parse_args()
    plan = Plan(
        forks=options.forks,
        rounds=options.rounds,
        idle=options.idle,
        processes=options.processes,
        storms=options.storms,
    )
    points = []
    for count in (int(word) for word in options.agents.split(",")):
        points.append(measure(count, plan))
        print_points(points[-1:])
    print_points(points)
    print(growth(points))
    print_goals([reached(points)])
    if options.plots is not None:
        figures = {title: [value(point) for point in points] for title, value in _FIGURES}
        print(plots.draw(options.plots, [point.agents for point in points], figures))


if __name__ == "__main__":
    main()
