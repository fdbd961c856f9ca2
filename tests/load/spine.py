"""spine: what pybible's own processes use for the workloads, through the real commands, on a lab of real agents.

Every lab runs each workload's modules once before anything is counted: a worker starts with an agent's first task, and
lives on for the next ones. What that first task costs is a row of its own, `start`.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.load import workloads
from tests.load.peers import Timing, timed
from tests.load.processes import cpu_seconds, descendants, memory_bytes
from tests.load.workloads import Workload
from tests.support.lab import lab

_IDLE_SECONDS = 5.0
_LEAST_SHARE = 0.1
# A workload that runs alone on a host tells what a task adds when nothing else waits.
_LATENCY_TASKS = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One workload on so many hosts. Rates in host-tasks a second, CPU in seconds a host-task.

    `rate` is of the whole command; `net` leaves out what an empty play takes (starting, connecting, ending). It is
    not a number when that is nearly all there is.
    """

    name: str
    hosts: int
    rate: float
    net: float
    ctl_cpu: float
    controller_cpu: float
    agent_cpu: float
    worker_cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What the processes are when they do nothing else. Memory in bytes, times in seconds.

    `ctl` is the largest resident set that a command had, the others are proportional set sizes.
    """

    hosts: int
    controller: int
    agent: int
    worker: int
    ctl: int
    idle_cpu: float
    empty_play: float
    one_ping: float
    latency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spine:
    """What was measured on one lab."""

    rows: list[Row]
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class _Sample:
    """One run of a command, and what the daemons used meanwhile."""

    timing: Timing
    controller: float
    agents: float
    workers: float


@dataclass(slots=True, kw_only=True)
class _Bench:
    """A lab, and how to run a playbook on it."""

    hosts: int
    folder: Path
    command: list[str]
    controller: int
    agents: list[int]

    def sample(self, workload: Workload, *words: str) -> _Sample:
        """Run a workload once."""
        playbook = workload.write(self.folder)
        before = self._used()
        timing = timed([*self.command, *words, str(playbook)])
        after = self._used()
        return _Sample(timing, *(late - early for early, late in zip(before, after, strict=True)))

    def _used(self) -> tuple[float, float, float]:
        workers = descendants(self.agents)
        return cpu_seconds([self.controller]), cpu_seconds(self.agents), cpu_seconds(workers)


def measure(hosts: int, *, rounds: int) -> Spine:
    """Run every workload on so many agents, `rounds` times, and take medians."""
    with tempfile.TemporaryDirectory(prefix="bench") as scratch:
        folder = Path(scratch)
        (folder / "out").mkdir()
        # Tasks are measured, nothing that agents do by themselves: they tell no facts, and W4 asks for them.
        quiet = "facts_interval = 0.0\n"
        with lab(agents=hosts, prefix="bench", state=folder / "lab", agent_config=quiet) as running:
            names = [f"bench{number:02}" for number in range(1, hosts + 1)]
            inventory = workloads.inventory(folder, names)
            processes = running.pids
            command = ["pybible-ctl", "run", "--controller", running.controller, "-i", str(inventory)]
            bench = _Bench(
                hosts=hosts,
                folder=folder,
                command=[*command, "-f", str(hosts)],
                controller=processes.pop("controller"),
                agents=list(processes.values()),
            )
            return _measure(bench, rounds)


def _measure(bench: _Bench, rounds: int) -> Spine:
    empty = [bench.sample(workloads.empty()) for _ in range(rounds)]
    start = Timing(
        wall=statistics.median(sample.timing.wall for sample in empty),
        cpu=statistics.median(sample.timing.cpu for sample in empty),
        memory=max(sample.timing.memory for sample in empty),
    )
    first = bench.sample(workloads.repeated("start", "ping:", 1))
    for workload in (workloads.realistic(bench.folder / "warm"), workloads.facts()):
        (bench.folder / "warm").mkdir(exist_ok=True)
        bench.sample(workload)
    rows = [_row(bench, "start", 1, start, [first])]
    ctl = 0
    for workload, tries in _workloads(bench.folder, rounds):
        samples = [bench.sample(workload) for _ in range(tries)]
        rows.append(_row(bench, workload.name, workload.tasks, start, samples))
        ctl = max(ctl, *(sample.timing.memory for sample in samples))
    return Spine(rows=rows, footprint=_footprint(bench, rounds, start, ctl))


def _workloads(folder: Path, rounds: int) -> list[tuple[Workload, int]]:
    """Return the workloads and how often each runs: what changes something does so only once."""
    realistic = workloads.realistic(folder / "out")
    return [
        (workloads.repeated("W1", "ping:", 20), rounds),
        (workloads.repeated("W2", "command: /bin/true", 20), rounds),
        (realistic, 1),
        (workloads.again(realistic), rounds),
        (workloads.facts(), rounds),
    ]


def _row(bench: _Bench, name: str, tasks: int, start: Timing, samples: list[_Sample]) -> Row:
    count = bench.hosts * tasks

    def median(of: Callable[[_Sample], float]) -> float:
        return max(statistics.median(of(sample) for sample in samples), 0.0)

    wall = median(lambda sample: sample.timing.wall)
    return Row(
        name=name,
        hosts=bench.hosts,
        rate=count / wall,
        net=count / (wall - start.wall) if wall - start.wall > _LEAST_SHARE * wall else math.nan,
        ctl_cpu=median(lambda sample: sample.timing.cpu - start.cpu) / count,
        controller_cpu=median(lambda sample: sample.controller) / count,
        agent_cpu=median(lambda sample: sample.agents) / count,
        worker_cpu=median(lambda sample: sample.workers) / count,
    )


def _footprint(bench: _Bench, rounds: int, start: Timing, ctl: int) -> Footprint:
    one = ["--limit", "bench01"]
    single = workloads.repeated("one", "ping:", 1)
    several = workloads.repeated("several", "ping:", _LATENCY_TASKS)
    ping = statistics.median(bench.sample(single, *one).timing.wall for _ in range(rounds))
    pings = statistics.median(bench.sample(several, *one).timing.wall for _ in range(rounds))
    workers = descendants(bench.agents)
    before, began = cpu_seconds([*bench.agents, *workers]), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    used = cpu_seconds([*bench.agents, *workers]) - before
    return Footprint(
        hosts=bench.hosts,
        controller=memory_bytes([bench.controller]),
        agent=memory_bytes(bench.agents) // bench.hosts,
        worker=memory_bytes(workers) // bench.hosts,
        ctl=ctl,
        idle_cpu=used / (time.monotonic() - began) / bench.hosts,
        empty_play=start.wall,
        one_ping=ping,
        latency=(pings - ping) / (_LATENCY_TASKS - 1),
    )
