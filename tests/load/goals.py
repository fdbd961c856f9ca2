"""goals: what a host-task is to cost, beside what it costs: a line for each goal, with the ratios of one run."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.load.floor import Floor
from tests.load.peers import Rate
from tests.load.spine import Footprint, Row

_MANY = 50
_MIB = 1024 * 1024
_WORKLOADS = ("W1", "W2", "W3", "W3 again", "W4")
# How many times as many host-tasks a second as a peer.
_TIMES: Mapping[str, Mapping[str, float]] = {
    "ansible-core": {"W1": 200, "W2": 100, "W3": 100, "W3 again": 100, "W4": 30},
    "mitogen": {"W1": 75, "W3": 30, "W3 again": 30},
    "pyinfra": {"W1": 5, "W2": 5, "W3": 8, "W3 again": 8},
}
_FLOOR_SHARE = 25.0
_FLOOR_CPU = 2.5
_ENGINE = {"W1": 300.0, "W3": 600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that one run of the benchmark found. `one_ping`: ansible-playbook's, in seconds; 0 when it is not here."""

    floors: Mapping[int, Floor]
    rows: Sequence[Row]
    footprints: Sequence[Footprint]
    peers: Mapping[str, Mapping[str, Rate]]
    one_ping: float = 0.0


@dataclass(frozen=True, slots=True)
class Reached:
    """One goal, and the value of one run. `most`: whether the value is to be at most the goal, else at least."""

    what: str
    goal: float
    value: float
    unit: str
    most: bool = False


def reached(run: Measured) -> Iterator[Reached]:
    """Return every goal that the run says something about."""
    rows = {row.name: row for row in run.rows if row.hosts == max(run.floors)}
    hosts = max(run.floors)
    floor, first = run.floors[hosts], rows["W1"]
    share = 100 * first.net / floor.round_trips_per_second
    yield Reached(f"W1 N={hosts}, of the floor", _FLOOR_SHARE, share, "%")
    for peer, goals in _TIMES.items():
        for name in _WORKLOADS:
            if name in goals and name in run.peers.get(peer, {}):
                times = rows[name].rate / run.peers[peer][name].rate
                yield Reached(f"{name} N={hosts}, x {peer}", goals[name], times, "x")
    cpu = first.controller_cpu / floor.server_cpu
    yield Reached(f"W1 N={hosts}, controller's CPU, x the floor's", _FLOOR_CPU, cpu, "x", most=True)
    for name, most in _ENGINE.items():
        yield Reached(f"{name} N={hosts}, engine's CPU", most, rows[name].ctl_cpu * 1e6, "us", most=True)
    last = run.footprints[-1]
    yield Reached("one host, a task more", 3.0, last.latency * 1e3, "ms", most=True)
    yield Reached("one ping, start to exit", 0.6, last.one_ping, "s", most=True)
    if run.one_ping:
        third = 100 * last.one_ping / run.one_ping
        yield Reached("one ping, of ansible-playbook's time", 100 / 3, third, "%", most=True)
    yield Reached("idle agent, memory", 36.0, (last.agent + last.worker) / _MIB, "MiB", most=True)
    yield Reached("idle agent, of a core", 0.2, 100 * last.idle_cpu, "%", most=True)


def print_goals(runs: Sequence[Iterable[Reached]]) -> None:
    """Print each goal with its median over the runs, and whether that is met."""
    found: dict[str, list[Reached]] = {}
    for run in runs:
        for each in run:
            found.setdefault(each.what, []).append(each)
    if found:
        print(f"\ngoals; medians of {len(runs)} run(s), each ratio of one run")
    for what, tries in found.items():
        first, value = tries[0], statistics.median(each.value for each in tries)
        is_met = value <= first.goal if first.most else value >= first.goal
        sign = "<=" if first.most else ">="
        line = f"{what:<44}{sign} {first.goal:>5.4g} {first.unit:<3}{value:>8.3g} {first.unit:<3}"
        print(f"{line} {'met' if is_met else 'missed'}", flush=True)
