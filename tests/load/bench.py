"""bench: what a host-task costs, through the real commands, and what peers and the floor do in the same run.

`python -m tests.load.bench [--hosts 10,50] [--rounds 3]`. Absolute figures drift on shared machines: the ratios count.
A rate is host-tasks a second of the whole command; `net` leaves out what an empty play takes (starting, connecting).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.load import floor, peers, workloads
from tests.load.peers import Timing, timed
from tests.load.processes import usage
from tests.load.workloads import Workload
from tests.support.lab import lab

# ansible-core needs so long for a host-task that a few tell its rate.
ANSIBLE_TASKS = 4
ANSIBLE_HOSTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One workload at one number of hosts; CPU in seconds a host-task, memory in bytes."""

    name: str
    hosts: int
    rate: float
    net: float
    ctl_cpu: float
    controller_cpu: float
    agent_cpu: float


def measure_pybible(hosts: int, *, rounds: int) -> list[Row]:
    """Run every workload on so many agents."""
    with tempfile.TemporaryDirectory(prefix="bench") as scratch:
        folder = Path(scratch)
        with lab(agents=hosts, prefix="bench", state=folder / "lab") as running:
            processes = running.pids
            names = [f"bench{number:02}" for number in range(1, hosts + 1)]
            inventory = workloads.inventory(folder, names)
            command = ["pybible-ctl", "run", "--controller", running.controller, "-i", str(inventory), "-f", str(hosts)]
            start = _median([timed([*command, str(workloads.empty().write(folder))]) for _ in range(rounds)])
            rows = [
                _row(workload, hosts, command, folder, processes, start, rounds) for workload in _all_workloads(folder)
            ]
            _print_memory(processes, hosts, start)
            return rows


def _all_workloads(folder: Path) -> list[Workload]:
    realistic = workloads.realistic(folder / "out")
    (folder / "out").mkdir()
    again = Workload(name="W3 again", tasks=realistic.tasks, text=realistic.text)
    return [
        workloads.repeated("W1", "ping:", 20),
        workloads.repeated("W2", "command: /bin/true", 20),
        realistic,
        again,
        workloads.facts(),
    ]


def _row(
    workload: Workload,
    hosts: int,
    command: list[str],
    folder: Path,
    processes: dict[str, int],
    start: Timing,
    rounds: int,
) -> Row:
    playbook = workload.write(folder)
    tries = 1 if workload.name == "W3" else rounds
    controller, agents = _pids(processes)
    before = usage([controller]), usage(agents)
    timings = [timed([*command, str(playbook)]) for _ in range(tries)]
    after = usage([controller]), usage(agents)
    median = _median(timings)
    count = hosts * workload.tasks
    return Row(
        name=workload.name,
        hosts=hosts,
        rate=count / median.wall,
        net=count / max(median.wall - start.wall, 1e-3),
        ctl_cpu=max(median.cpu - start.cpu, 0.0) / count,
        controller_cpu=(after[0].cpu - before[0].cpu) / (count * tries),
        agent_cpu=(after[1].cpu - before[1].cpu) / (count * tries),
    )


def _pids(processes: dict[str, int]) -> tuple[int, list[int]]:
    """Return the controller's process id and the agents'."""
    return processes["controller"], [pid for name, pid in processes.items() if name != "controller"]


def _median(timings: list[Timing]) -> Timing:
    return Timing(
        wall=statistics.median(timing.wall for timing in timings),
        cpu=statistics.median(timing.cpu for timing in timings),
    )


def _print_memory(processes: dict[str, int], hosts: int, start: Timing) -> None:
    controller, agents = _pids(processes)
    mib = 1024 * 1024
    print(
        f"N={hosts}: an empty play takes {start.wall:.2f} s; memory (PSS): controller "
        f"{usage([controller]).memory / mib:.0f} MiB, an agent with its workers "
        f"{usage(agents).memory / mib / len(agents):.1f} MiB",
        flush=True,
    )


def measure_ansible(program: str) -> dict[str, tuple[float, float]]:
    """Return ansible-core's host-tasks a second and CPU seconds a host-task, by workload."""
    with tempfile.TemporaryDirectory(prefix="bench") as scratch:
        folder = Path(scratch)
        (folder / "out").mkdir()
        with peers.ssh_server(folder) as (port, key):
            names = [f"bench{number:02}" for number in range(1, ANSIBLE_HOSTS + 1)]
            inventory = workloads.inventory(folder, names, f"ansible_host=127.0.0.1 ansible_port={port}")
            command = [program, "-i", str(inventory), "-f", str(ANSIBLE_HOSTS)]
            environment = peers.ansible_environment(key)
            realistic = workloads.realistic(folder / "out")
            tried = [
                workloads.repeated("W1", "ping:", ANSIBLE_TASKS),
                workloads.repeated("W2", "command: /bin/true", ANSIBLE_TASKS),
                realistic,
                Workload(name="W3 again", tasks=realistic.tasks, text=realistic.text),
                workloads.facts(),
            ]
            found = {}
            for workload in tried:
                timing = timed([*command, str(workload.write(folder))], environment=environment)
                count = ANSIBLE_HOSTS * workload.tasks
                found[workload.name] = (count / timing.wall, timing.cpu / count)
            return found


def print_table(rows: list[Row], floors: dict[int, floor.Floor], ansible: dict[str, tuple[float, float]]) -> None:
    """Print a line for each workload and number of hosts."""
    print(f"\n{'workload':<10}{'hosts':>6}{'tasks/s':>9}{'net/s':>8}{'of floor':>10}{'x ansible':>11}", end="")
    print(f"{'ctl us':>8}{'controller us':>15}{'agent us':>10}")
    for row in rows:
        share = row.net / floors[row.hosts].round_trips_per_second
        times = f"{row.rate / ansible[row.name][0]:.0f}" if row.name in ansible else "-"
        print(f"{row.name:<10}{row.hosts:>6}{row.rate:>9.0f}{row.net:>8.0f}{share:>9.1%}{times:>11}", end=" ")
        print(f"{row.ctl_cpu * 1e6:>8.0f}{row.controller_cpu * 1e6:>14.0f}{row.agent_cpu * 1e6:>10.0f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", default="10,50", help="numbers of agents, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="how often each workload is run; the median counts")
    options = parser.parse_args()
    counts = [int(word) for word in options.hosts.split(",")]
    floors = {}
    for hosts in counts:
        tries = [floor.measure(hosts, rounds=5000 // hosts) for _ in range(options.rounds)]
        floors[hosts] = sorted(tries, key=lambda found: found.round_trips_per_second)[len(tries) // 2]
        print(
            f"floor, {hosts} connections: {floors[hosts].round_trips_per_second:.0f} round trips/s, "
            f"{floors[hosts].server_cpu_per_round_trip * 1e6:.0f} us of server CPU each",
            flush=True,
        )
    rows = [row for hosts in counts for row in measure_pybible(hosts, rounds=options.rounds)]
    program = peers.ansible_playbook()
    ansible: dict[str, tuple[float, float]] = {}
    if program and peers.sshd():
        ansible = measure_ansible(program)
        for name, (rate, cpu) in ansible.items():
            print(f"ansible-core, {ANSIBLE_HOSTS} hosts, {name}: {rate:.1f} host-tasks/s, {cpu * 1e3:.0f} ms CPU each")
    else:
        print("ansible-core is left out: ansible-playbook or sshd is not installed")
    print_table(rows, floors, ansible)


if __name__ == "__main__":
    main()
