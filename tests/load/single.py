"""single: one host, one task after the other, beside `ansible-playbook -c local`: through the bridge, and native.

The stock module is a copy of one of ansible-core's own under another name, made for the time of the run: under its own
name the native one would run.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pybible.server.engine.bridge.places import Places
from tests.load import workloads
from tests.load.peers import timed
from tests.load.workloads import Workload
from tests.support.lab import lab

TASKS = 20
_STOCK = "stat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Seconds that a playbook of `TASKS` tasks takes, from its command's start to its end.

    `net` is how many times as long Ansible takes for the tasks alone: without what an empty play takes on either side.
    """

    name: str
    ours: float
    ansible: float
    net: float


def measure(program: str, *, rounds: int) -> list[Pair]:
    """Run both playbooks with both tools, `rounds` times in turn, and take medians."""
    environment = Path(program).absolute().parent.parent
    core = Places(ansible=str(environment)).core
    if core is None:
        return []
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

            def sides(workload: Workload) -> list[float]:
                playbook = str(workload.write(folder))
                tries = [
                    (
                        timed([*ours, playbook], environment=settings).wall,
                        timed([*theirs, playbook], environment=fastest).wall,
                    )
                    for _ in range(rounds)
                ]
                return [statistics.median(side) for side in zip(*tries, strict=True)]

            start = sides(workloads.empty())
            return [
                _pair(name, sides(workloads.repeated(name, task, TASKS)), start)
                for name, task in (("stock", "stock: path=/etc/hosts"), ("command", "command: /bin/true"))
            ]


def _pair(name: str, whole: list[float], start: list[float]) -> Pair:
    ours, theirs = (late - early for late, early in zip(whole, start, strict=True))
    return Pair(name=name, ours=whole[0], ansible=whole[1], net=theirs / ours)
