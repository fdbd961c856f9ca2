"""single: one host, one task after the other, beside `ansible-playbook -c local`: through the bridge, and native.

The stock module is a copy of one of ansible-core's own under another name, made for the time of the run: under its own
name the native one would run. `python -m tests.load.single [--rounds 5]` measures this alone.

Two readings of each. *Whole command*: `TASKS` tasks, from the command's start to its end, start and end of either tool
included. *Per task*: how much longer `MORE_TASKS` take than `TASKS`, divided by their number more: what one task costs.
Both tools run in turn, with both numbers of tasks in each round, and medians count: what else the machine does meets
both.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pybible.server.engine.bridge.places import Places
from tests.load import peers, workloads
from tests.load.peers import timed
from tests.support.lab import lab

TASKS = 20
MORE_TASKS = 120
_STOCK = "stat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Seconds: the median of several rounds, ours and Ansible's."""

    ours: float
    ansible: float

    @property
    def times(self) -> float:
        """How many times as long Ansible takes."""
        return self.ansible / self.ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What `TASKS` tasks take as a whole command, and what one task takes."""

    name: str
    whole: Reading
    task: Reading

    def __str__(self) -> str:
        whole, task = self.whole, self.task
        return (
            f"one host, {TASKS} x {self.name}, whole command: {whole.ours:.2f} s, "
            f"ansible-playbook -c local {whole.ansible:.2f} s: {whole.times:.1f} times as long\n"
            f"one host, {self.name}, per task ({TASKS} to {MORE_TASKS} of them): {task.ours * 1e3:.1f} ms, "
            f"ansible-playbook -c local {task.ansible * 1e3:.0f} ms: {task.times:.1f} times as long"
        )


def measure(program: str, *, rounds: int) -> Iterator[Pair]:
    """Run both playbooks with both tools, `rounds` times in turn, and take medians."""
    environment = Path(program).absolute().parent.parent
    core = Places(ansible=str(environment)).core
    if core is None:
        return
    with tempfile.TemporaryDirectory(prefix="bench") as scratch:
        folder = Path(scratch)
        (folder / "library").mkdir()
        shutil.copy(core / "modules" / f"{_STOCK}.py", folder / "library" / "stock.py")
        with lab(agents=1, prefix="bench", state=folder / "lab") as running:
            inventory = workloads.inventory(folder, ["bench01"])
            ours = ["pybible-ctl", "run", "--controller", running.controller, "-i", str(inventory)]
            theirs = [program, "-c", "local", "-i", str(inventory)]
            # Both take the stock module's libraries from the same ansible-core.
            settings = {"PYBIBLE_ANSIBLE": str(environment)}
            fastest = {"ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3"}

            def pair(name: str, task: str) -> Pair:
                few, many = (
                    str(workloads.repeated(f"{name}{tasks}", task, tasks).write(folder))
                    for tasks in (TASKS, MORE_TASKS)
                )
                # The agent's worker starts with its first task, and stays.
                timed([*ours, few], environment=settings)
                tries = [
                    [
                        timed([*command, playbook], environment=own).wall
                        for playbook in (few, many)
                        for command, own in ((ours, settings), (theirs, fastest))
                    ]
                    for _ in range(rounds)
                ]
                return _pair(name, tries)

            yield pair("stock", "stock: path=/etc/hosts")
            yield pair("command", "command: /bin/true")


def _pair(name: str, tries: list[list[float]]) -> Pair:
    """Make one of what rounds took: ours and Ansible's for few tasks, ours and Ansible's for many."""
    tasks = [((each[2] - each[0]), (each[3] - each[1])) for each in tries]
    more = MORE_TASKS - TASKS
    return Pair(
        name=name,
        whole=Reading(
            ours=statistics.median(each[0] for each in tries), ansible=statistics.median(each[1] for each in tries)
        ),
        task=Reading(
            ours=statistics.median(ours for ours, _ in tasks) / more,
            ansible=statistics.median(ansible for _, ansible in tasks) / more,
        ),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    program = peers.ansible_playbook()
    if program is None:
        print("ansible-playbook is not installed")
        return
    for pair in measure(program, rounds=options.rounds):
        print(pair, flush=True)


if __name__ == "__main__":
    main()
