"""bench: what a host-task costs, through the real commands, and what peers and the floor do in the same run.

`python -m tests.load.bench [--hosts 10,50] [--rounds 3]`. Absolute figures drift on shared machines: the ratios count.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.load import floor, peers, single, spine, workloads
from tests.load.floor import Floor
from tests.load.peers import timed
from tests.load.spine import Footprint, Row
from tests.load.workloads import Workload

# ansible-core needs so long for a host-task that a few tell its rate.
ANSIBLE_TASKS = 4
ANSIBLE_HOSTS = 5
_MIB = 1024 * 1024


def measure_floor(hosts: int, *, rounds: int) -> Floor:
    """Return the median of several floors, and print it, with what it is when each connection has its process."""
    tries = [floor.measure(hosts, rounds=5000 // hosts) for _ in range(rounds)]
    found = sorted(tries, key=lambda each: each.round_trips_per_second)[len(tries) // 2]
    for words, each in (
        (f"{hosts} connections", found),
        (f"{hosts} connections, a process each", floor.measure(hosts, rounds=2500 // hosts, apart=True)),
    ):
        print(
            f"floor, {words}: {each.round_trips_per_second:.0f} round trips/s, "
            f"{each.server_cpu * 1e6:.0f} us of server CPU each, {each.client_cpu * 1e6:.0f} us of client CPU",
            flush=True,
        )
    return found


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


def print_footprint(found: Footprint) -> None:
    """Print the memory and the times that are no host-task's."""
    print(
        f"N={found.hosts}: memory: controller {found.controller / _MIB:.0f} MiB, "
        f"ctl at most {found.ctl / _MIB:.0f} MiB, an agent {(found.agent + found.worker) / _MIB:.1f} MiB "
        f"({found.agent / _MIB:.1f} the daemon, {found.worker / _MIB:.1f} its worker)\n"
        f"N={found.hosts}: an empty play {found.empty_play:.2f} s; one ping on one host {found.one_ping:.2f} s, "
        f"each further one {found.latency * 1e3:.1f} ms; an idle agent {found.idle_cpu:.2%} of a core",
        flush=True,
    )


def print_table(rows: list[Row], floors: dict[int, Floor], ansible: dict[str, tuple[float, float]]) -> None:
    """Print a line for each workload and number of hosts."""
    print("\nhost-tasks a second, and microseconds of CPU for each; net is without starting and ending ctl;")
    print("`start` is the first task of every agent, which starts its worker (no other row does)")
    print(f"{'workload':<10}{'hosts':>6}{'tasks/s':>9}{'net/s':>8}{'of floor':>10}{'x ansible':>11}", end="")
    print(f"{'ctl':>8}{'controller':>12}{'x floor':>9}{'agent':>8}{'worker':>8}")
    for row in rows:
        base = floors[row.hosts]
        share = row.net / base.round_trips_per_second
        times = f"{row.rate / ansible[row.name][0]:.0f}" if row.name in ansible else "-"
        print(f"{row.name:<10}{row.hosts:>6}{row.rate:>9.0f}{row.net:>8.0f}{share:>10.1%}{times:>11}", end="")
        print(f"{row.ctl_cpu * 1e6:>8.0f}{row.controller_cpu * 1e6:>12.0f}", end="")
        print(f"{row.controller_cpu / base.server_cpu:>9.1f}", end="")
        print(f"{row.agent_cpu * 1e6:>8.0f}{row.worker_cpu * 1e6:>8.0f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", default="10,50", help="numbers of agents, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="how often each workload is run; the median counts")
    parser.add_argument("--no-peers", action="store_true", help="leave out the other tools")
    options = parser.parse_args()
    counts = [int(word) for word in options.hosts.split(",")]
    floors = {hosts: measure_floor(hosts, rounds=options.rounds) for hosts in counts}
    found = [spine.measure(hosts, rounds=options.rounds) for hosts in counts]
    program = None if options.no_peers else peers.ansible_playbook()
    ansible: dict[str, tuple[float, float]] = {}
    if program and peers.sshd():
        ansible = measure_ansible(program)
        for name, (rate, cpu) in ansible.items():
            print(f"ansible-core, {ANSIBLE_HOSTS} hosts, {name}: {rate:.1f} host-tasks/s, {cpu * 1e3:.0f} ms CPU each")
    else:
        print("ansible-core is left out: ansible-playbook or sshd is not installed, or it was not asked for")
    for pair in single.measure(program, rounds=options.rounds) if program else ():
        print(pair, flush=True)
    for each in found:
        print_footprint(each.footprint)
    print_table([row for each in found for row in each.rows], floors, ansible)


if __name__ == "__main__":
    main()
