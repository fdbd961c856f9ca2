"""storms: a random third of a fleet is cut off, again and again, while runs go on. Nothing may be lost.

`python -m tests.load.storms --agents 1000 --storms 24 --seed 7`. Every task of every host must have one result, and it
must be that the host answered; every result that an agent wrote down must be with the controller; all agents must be
back after each storm; and the controller's memory must not grow with the storms. Exit status 1 when it is otherwise.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.load import workloads
from tests.load.processes import cpu_seconds, resident_bytes
from tests.load.site import Site, site
from tests.load.swarm.processes import Swarm

_MIB = 1024 * 1024
_BACK_SECONDS = 300.0
_RUN_SECONDS = 1200.0
# The first storms fill what later ones use again.
_WARM = 6
_FEW = 6
# More growth from storm to storm than this share of all is called growth.
_SLOPE = 0.01


@dataclass(slots=True)
class Runs:
    """Runs one after the other, on all agents, in a thread, until it is told to stop."""

    command: Sequence[str]
    hosts: int
    tasks: int
    done: int = 0
    wrong: list[str] = field(default_factory=list)
    # The first answer of a run is there.
    underway: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        """Run, and look at each recap."""
        while not self.stop.is_set():
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert process.stdout is not None
            good = 0
            for line in process.stdout:
                if line.startswith("ok:"):
                    self.underway.set()
                if " ok=" in line:
                    fine = f" ok={self.tasks} " in line and " unreachable=0 " in line and " failed=0 " in line
                    good += fine
                    if not fine:
                        self.wrong.append(line.strip())
            status = process.wait(_RUN_SECONDS)
            self.done += 1
            if status or good != self.hosts:
                self.wrong.append(f"run {self.done}: exit status {status}, {good} of {self.hosts} hosts answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    agents: int
    storms: int
    seed: int
    forks: int
    tasks: int
    processes: int
    pause: float


def measure(plan: _Plan) -> list[str]:
    """Print each storm, and return what is wrong."""
    with site() as here:
        marks = here.scratch / "marks"
        words = ("--seed", str(plan.seed), "--marks", str(marks))
        with here.fleet(plan.agents, processes=plan.processes, words=words) as fleet:
            fleet.wait_enrolled(1800)
            fleet.wait_attached(600)
            _say(f"{plan.agents} agents are attached, the controller has {resident_bytes(here.pid) / _MIB:.0f} MiB")
            pings = workloads.repeated("storms", "ping:", plan.tasks)
            runs = Runs(here.command(pings, agents=plan.agents, forks=plan.forks), plan.agents, plan.tasks)
            thread = threading.Thread(target=runs.go_on)
            thread.start()
            try:
                memory = [_storm(here, fleet, runs, number, plan) for number in range(1, plan.storms + 1)]
            finally:
                runs.stop.set()
                thread.join()
        wrong = [*runs.wrong, *_stored(here, marks, expected=runs.done * plan.agents * plan.tasks)]
        if (slope := _slope(memory[_WARM:])) > _SLOPE:
            wrong.append(f"memory grows by {slope:.1%} with each storm")
        _say(f"{runs.done} runs, memory after the first {_WARM} storms: {slope:+.2%} with each")
        return wrong


def _storm(here: Site, fleet: Swarm, runs: Runs, number: int, plan: _Plan) -> int:
    """Cut a third off in the middle of a run. Return the controller's memory once all are back, bytes."""
    runs.underway.clear()
    runs.underway.wait(_RUN_SECONDS)
    used = cpu_seconds([here.pid])
    began = time.monotonic()
    fleet.storm()
    fewest = fleet.wait_cut(30)
    fleet.wait_attached(_BACK_SECONDS)
    took = time.monotonic() - began
    memory = resident_bytes(here.pid)
    _say(
        f"storm {number}: {fewest} were left, all back after {took:.1f} s, controller {memory / _MIB:.0f} MiB, "
        f"{cpu_seconds([here.pid]) - used:.1f} s of its CPU, {runs.done} runs done, {len(runs.wrong)} wrong"
    )
    time.sleep(plan.pause)
    return memory


def _stored(here: Site, marks: Path, *, expected: int) -> list[str]:
    """Compare the history with what the agents did."""
    lines = [line.split() for line in marks.read_text().splitlines()]
    begun = Counter(attempt_id for attempt_id, what, *_ in lines if what == "b")
    ended = {attempt_id for attempt_id, what, *_ in lines if what == "e"}
    store = here.lab.folder / "controller" / "controller.db"
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT attempt_id, state, reason, verdict, late FROM attempts").fetchall()
        running = connection.execute("SELECT count(*) FROM runs WHERE state = 'running'").fetchone()[0]
    wrong = [f"{attempt_id} was executed {count} times" for attempt_id, count in begun.items() if count > 1]
    if len(rows) != expected:
        wrong.append(f"{len(rows)} attempts are in the history, not {expected}")
    if running:
        wrong.append(f"{running} runs are running still")
    late = 0
    # Why hosts have no answer of their own, by the verdict's reason and by whether the agent ran the task all the same.
    reasons: Counter[tuple[str, str]] = Counter()
    for attempt_id, state, reason, verdict, came_late in rows:
        late += bool(came_late)
        if reason:
            reasons[reason, "executed" if attempt_id in begun else "not executed"] += 1
        if state != "done":
            wrong.append(f"{attempt_id} is {state}")
        elif reason:
            wrong.append(f"{attempt_id}: {reason}")
        if attempt_id in ended and verdict and not came_late:
            wrong.append(f"the result of {attempt_id} is lost")
    _say(f"{len(rows)} attempts in the history, {len(begun)} executed, {late} results came after a verdict")
    for (reason, whether), count in reasons.most_common():
        _say(f"{count} attempts have the verdict {reason!r}, {whether}")
    return wrong


def _slope(sizes: Sequence[int]) -> float:
    """Return by how much they grow from one to the next, as a share of their mean: the best line through them.

    Of a few it tells nothing.
    """
    if len(sizes) < _FEW:
        return 0.0
    middle, mean = (len(sizes) - 1) / 2, sum(sizes) / len(sizes)
    rise = sum((at - middle) * size for at, size in enumerate(sizes))
    return rise / sum((at - middle) ** 2 for at in range(len(sizes))) / mean


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--storms", type=int, default=24)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of who is cut off")
    parser.add_argument("--forks", type=int, default=500)
    parser.add_argument("--tasks", type=int, default=3, help="of each run")
    parser.add_argument("--processes", type=int, default=2, help="how many processes share the agents")
    parser.add_argument("--pause", type=float, default=1.0, metavar="SECONDS", help="between two storms")
    given = parser.parse_args()
    plan = _Plan(**vars(given))
    _say(f"seed {plan.seed}")
    wrong = measure(plan)
    for text in wrong[:50]:
        _say(f"WRONG: {text}")
    _say(f"seed {plan.seed}: {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
