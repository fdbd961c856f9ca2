"""bench: what a host-task costs, through the real commands, and what peers and the floor do in the same run.

`python -m tests.load.bench [--hosts 10,50] [--rounds 3] [--runs 3]`. Absolute figures drift on shared machines: the
ratios count. Peers run where they are installed (`make peers`).
"""

from __future__ import annotations

import argparse

from tests.load import floor, peers, single, spine
from tests.load.floor import Floor
from tests.load.goals import Measured, print_goals, reached
from tests.load.peers import Peer, Rate
from tests.load.spine import Footprint

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


def measure_peers(found: list[Peer]) -> dict[str, dict[str, Rate]]:
    """Return what each peer did, by its name and the workload's, and print it."""
    rates = {}
    for peer in found:
        rates[peer.name] = peer.measure()
        for name, each in rates[peer.name].items():
            cpu = f"{each.cpu * 1e3:.0f} ms CPU each"
            print(f"{peer.name}, {peer.hosts} hosts, {name}: {each.rate:.1f} host-tasks/s, {cpu}", flush=True)
    return rates


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


def print_table(run: Measured) -> None:
    """Print a line for each workload and number of hosts."""
    print("\nhost-tasks a second, and microseconds of CPU for each; net is without starting and ending ctl;")
    print("`start` is the first task of every agent, which starts its worker (no other row does);")
    print("x PEER: how many times as many host-tasks a second as it did, on fewer hosts and with fewer tasks (above)")
    print(f"{'workload':<10}{'hosts':>6}{'tasks/s':>9}{'net/s':>8}{'of floor':>10}", end="")
    for name in run.peers:
        print(f"{'x ' + name:>15}", end="")
    print(f"{'ctl':>8}{'controller':>12}{'x floor':>9}{'agent':>8}{'worker':>8}")
    for row in run.rows:
        base = run.floors[row.hosts]
        share = row.net / base.round_trips_per_second
        print(f"{row.name:<10}{row.hosts:>6}{row.rate:>9.0f}{row.net:>8.0f}{share:>10.1%}", end="")
        for rates in run.peers.values():
            times = f"{row.rate / rates[row.name].rate:.0f}" if row.name in rates else "-"
            print(f"{times:>15}", end="")
        print(f"{row.ctl_cpu * 1e6:>8.0f}{row.controller_cpu * 1e6:>12.0f}", end="")
        print(f"{row.controller_cpu / base.server_cpu:>9.1f}", end="")
        print(f"{row.agent_cpu * 1e6:>8.0f}{row.worker_cpu * 1e6:>8.0f}")


def measure(counts: list[int], *, rounds: int, others: list[Peer]) -> Measured:
    """Run it all once, and print what was found."""
    floors = {hosts: measure_floor(hosts, rounds=rounds) for hosts in counts}
    found = [spine.measure(hosts, rounds=rounds) for hosts in counts]
    run = Measured(
        floors=floors,
        rows=[row for each in found for row in each.rows],
        footprints=[each.footprint for each in found],
        peers=measure_peers(others),
        one_ping=peers.one_ping(rounds=rounds) if others else 0.0,
    )
    for each in run.footprints:
        print_footprint(each)
    print_table(run)
    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", default="10,50", help="numbers of agents, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="how often each workload is run; the median counts")
    parser.add_argument("--runs", type=int, default=1, help="how often all of it is done; goals show medians")
    parser.add_argument("--no-peers", action="store_true", help="leave out the other tools")
    parser.add_argument("--peers", default="", help="only these of the other tools, separated by commas")
    options = parser.parse_args()
    counts = [int(word) for word in options.hosts.split(",")]
    others = [] if options.no_peers else peers.installed()
    if options.peers:
        others = [peer for peer in others if peer.name in options.peers.split(",")]
    runs = []
    for number in range(1, options.runs + 1):
        print(f"run {number} of {options.runs}", flush=True)
        runs.append(measure(counts, rounds=options.rounds, others=others))
    program = None if options.no_peers else peers.ansible_playbook()
    for pair in single.measure(program, rounds=options.rounds) if program else ():
        print(pair, flush=True)
    print_goals([reached(run) for run in runs])


if __name__ == "__main__":
    main()
