"""scale: one controller and more and more agents: attaching, memory, idling, a restart, a ping to all of them.

`python -m tests.load.scale [--agents 50,200,1000] [--forks 500]`. The controller and pybible-ctl are the real commands,
the agents a swarm of their own code; all share this machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.load import workloads
from tests.load.peers import timed
from tests.load.processes import cpu_seconds, memory_bytes
from tests.load.swarm.processes import Swarm, swarm
from tests.support.lab import Lab, lab

_KIB = 1024
_PREFIX = "swarm"
_SETTLE_SECONDS = 3.0
# Everything comes from one address here, and enrolling is not what is measured.
_SETTINGS = "enroll_rate = 100000.0\nmax_forks = 10000\nlog_level = 'warning'\n"


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
    storms: int
    storm_lost: int
    storm_back: float


@dataclass(slots=True)
class _Site:
    """A lab without agents of its own, and the settings of its controller."""

    lab: Lab
    config: Path
    scratch: Path

    @property
    def pid(self) -> int:
        started = self.lab.started.get("controller")
        return started.pid if started is not None else self.lab.pids["controller"]


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
    with _site() as site:
        empty = memory_bytes([site.pid])
        socket = site.lab.controller.removeprefix("unix:")
        began = time.monotonic()
        with swarm(agents=agents, state=site.scratch, socket=socket, processes=plan.processes) as fleet:
            fleet.wait_enrolled(1800)
            enrol = time.monotonic() - began
            used = cpu_seconds([site.pid])
            attach = fleet.wait_attached(600)
            attach_cpu = cpu_seconds([site.pid]) - used
            time.sleep(_SETTLE_SECONDS)
            memory = memory_bytes([site.pid])
            idle_cpu, swarm_idle_cpu = _idle(site, fleet, plan.idle)
            swarm_each = memory_bytes(fleet.pids) / agents
            pings = [_ping(site, fleet, plan.forks) for _ in range(plan.rounds)]
            storms = [_storm(site, fleet, plan.forks) for _ in range(plan.storms)]
            restart = _restart(site, fleet)
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
                ping_controller_cpu=statistics.median(each.controller for each in pings) / agents,
                ping_ctl_cpu=statistics.median(each.ctl for each in pings) / agents,
                ping_agent_cpu=statistics.median(each.agents for each in pings) / agents,
                ctl_memory=max(each.ctl_memory for each in pings),
                restart=restart,
                restart_memory=memory_bytes([site.pid]),
                storms=len(storms),
                storm_lost=sum(lost for lost, _ in storms),
                storm_back=max((back for _, back in storms), default=0.0),
            )


@contextmanager
def _site() -> Iterator[_Site]:
    with tempfile.TemporaryDirectory(prefix="scale") as folder, tempfile.TemporaryDirectory(dir=_quick()) as scratch:
        config = Path(folder) / "settings.toml"
        config.write_text(_SETTINGS)
        with lab(agents=0, state=Path(folder) / "lab", config=_SETTINGS) as running:
            yield _Site(running, config, Path(scratch))


def _quick() -> str | None:
    """Return where the agents' folders are: in memory if that can be, for they are many and each is synced."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _idle(site: _Site, fleet: Swarm, seconds: float) -> tuple[float, float]:
    """Return how much of a core the controller and the swarm use while nothing is to be done."""
    pids = ([site.pid], fleet.pids)
    before, began = [cpu_seconds(each) for each in pids], time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    controller, agents = ((cpu_seconds(each) - start) / took for each, start in zip(pids, before, strict=True))
    return controller, agents


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ping:
    """One ping to all: seconds."""

    wall: float
    controller: float
    ctl: float
    agents: float
    ctl_memory: int


def _command(site: _Site, fleet: Swarm, forks: int) -> list[str]:
    """Return what pings all."""
    names = [f"{_PREFIX}{number:05}" for number in range(1, fleet.agents + 1)]
    inventory = workloads.inventory(site.config.parent, names)
    playbook = workloads.repeated("ping", "ping:", 1).write(site.config.parent)
    command = ["pybible-ctl", "run", "--controller", site.lab.controller, "-i", str(inventory), "-f", str(forks)]
    return [*command, str(playbook)]


def _ping(site: _Site, fleet: Swarm, forks: int) -> _Ping:
    before = cpu_seconds([site.pid]), cpu_seconds(fleet.pids)
    timing = timed(_command(site, fleet, forks))
    return _Ping(
        wall=timing.wall,
        controller=cpu_seconds([site.pid]) - before[0],
        ctl=timing.cpu,
        agents=cpu_seconds(fleet.pids) - before[1],
        ctl_memory=timing.memory,
    )


def _storm(site: _Site, fleet: Swarm, forks: int) -> tuple[int, float]:
    """Cut a third off while all are pinged. Return how many hosts did not answer, and after how long all were back."""
    process = subprocess.Popen(
        _command(site, fleet, forks),
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


def _restart(site: _Site, fleet: Swarm) -> float:
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
    print("all of them, and CPU in microseconds of each; restart: from kill -9 until all were back. Memory is PSS.")
    print(
        "storms: a third is cut off while all are pinged; lost: hosts that did not answer; back: until all were back."
    )
    print("".join(f"{title:>{len(title) + 2}}" for title, _ in _COLUMNS))
    for point in points:
        print("".join(f"{text(point):>{len(title) + 2}}" for title, text in _COLUMNS), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", default="50,200,1000", help="numbers of agents, separated by commas")
    parser.add_argument("--forks", type=int, default=500, help="of the ping to all")
    parser.add_argument("--rounds", type=int, default=3, help="how often all are pinged; the median counts")
    parser.add_argument("--idle", type=float, default=20.0, metavar="SECONDS", help="how long idling is looked at")
    parser.add_argument("--processes", type=int, default=2, help="how many processes share the agents")
    parser.add_argument("--storms", type=int, default=0, help="how often a third is cut off while all are pinged")
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


if __name__ == "__main__":
    main()
