"""site: a controller with a fleet in a box beside it, for what is measured with many agents."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.load import workloads
from tests.load.swarm.processes import Swarm, swarm
from tests.load.workloads import Workload
from tests.support.lab import Lab, lab

_PREFIX = "swarm"
# Everything comes from one address here, and enrolling is not what is measured.
_SETTINGS = "enroll_rate = 100000.0\nmax_forks = 10000\nlog_level = 'warning'\n"


@dataclass(frozen=True, slots=True)
class Site:
    """A lab without agents of its own, and the settings of its controller."""

    lab: Lab
    config: Path
    scratch: Path

    @property
    def pid(self) -> int:
        """The controller's process."""
        started = self.lab.started.get("controller")
        return started.pid if started is not None else self.lab.pids["controller"]

    @property
    def socket(self) -> str:
        """The operators' socket."""
        return self.lab.controller.removeprefix("unix:")

    def fleet(self, agents: int, *, processes: int, words: Sequence[str] = ()) -> AbstractContextManager[Swarm]:
        """Start so many agents; end them with the block. `words`: further options of each process."""
        return swarm(agents=agents, state=self.scratch, socket=self.socket, processes=processes, words=words)

    def command(self, workload: Workload, *, agents: int, forks: int) -> list[str]:
        """Return what runs a workload on the first so many agents."""
        folder = self.config.parent / f"{workload.name}-{agents}"
        folder.mkdir(exist_ok=True)
        names = [f"{_PREFIX}{number:05}" for number in range(1, agents + 1)]
        inventory = workloads.inventory(folder, names)
        command = ["pybible-ctl", "run", "--controller", self.lab.controller, "-i", str(inventory), "-f", str(forks)]
        return [*command, str(workload.write(folder))]


@contextmanager
def site() -> Iterator[Site]:
    """Start one, and end it with the block."""
    with tempfile.TemporaryDirectory(prefix="scale") as folder, tempfile.TemporaryDirectory(dir=_quick()) as scratch:
        config = Path(folder) / "settings.toml"
        config.write_text(_SETTINGS)
        with lab(agents=0, state=Path(folder) / "lab", config=_SETTINGS) as running:
            yield Site(running, config, Path(scratch))


def _quick() -> str | None:
    """Return where the agents' folders are: in memory if that can be, for they are many and each is synced."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
