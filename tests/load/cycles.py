"""cycles: whether anything is left behind by a dial that fails, or by a session that ends.

`python -m tests.load.cycles [--dials 100000] [--attaches 10000]`. Many agents attach to a controller and leave it,
again and again: cut off, with a goodbye, or as a new process; looked at are the controller's memory, files, threads and
tasks. Then one agent dials a controller that is not there, by its own loop, of which only the pauses are shortened;
looked at is its process.

How much the controller takes depends on how much it does at once, too: on a busy machine sessions pile up, gRPC adds
threads, and what they took is not given back. So there are no more agents than a quiet machine serves without haste.

A line is laid through the second half of what was seen. Exit status 1 when memory grows in it by more than the noise
(two standard errors) and by more than a hundredth of itself, or anything else by more than the noise and by one or
more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pybible.agent.config import Config
from pybible.agent.daemon import Agent
from pybible.agent.swarm.identities import enrol_all
from pybible.server.controller.config import Address
from pybible.wire import logs
from pybible.wire.backoff import Backoff
from tests.load.chaos.site import Site, end_all
from tests.load.soak.fit import fit
from tests.load.soak.samples import figures
from tests.support.http import got

_SETTINGS = 'enroll_rate = 100000.0\nlog_level = "error"\nmetrics_listen = "127.0.0.1:{port}"\n'
_SAMPLES = 200
# Of its own size memory may grow in the second half, beyond noise: an allocator's pages come and go.
_SHARE = 0.01
# The controller lets an agent attach twice a second, and thirty times at once.
_ATTACHES_A_SECOND = 1.8
_LIFE = 10
_PATIENCE = 60.0


@dataclass(slots=True)
class Seen:
    """What was seen of one process: after how many cycles, and each figure then."""

    what: str
    cycles: list[int] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def add(self, cycles: int, found: dict[str, float]) -> None:
        """Add one look."""
        self.cycles.append(cycles)
        for name, value in found.items():
            self.figures.setdefault(name, []).append(value)

    def judge(self, say: Callable[[str], None]) -> bool:
        """Say what became of each figure in the second half; return whether one of them grew."""
        grew = False
        half = len(self.cycles) // 2
        for name, values in self.figures.items():
            line = fit(self.cycles[half:], values[half:])
            # A file or a task less than one in the whole half is none that is left behind each time.
            grows = line.grows(share=_SHARE) if name == "RSS" else line.grows(share=0.0, least=1.0)
            unit, scale = ("MiB", 2**20) if name == "RSS" else ("", 1)
            say(
                f"{self.what}: {name} {values[0] / scale:.1f} at first, {values[half] / scale:.1f} half-way, "
                f"{values[-1] / scale:.1f} {unit} at the end; {line.slope * 1000:.1f} for 1,000 cycles, in the second "
                f"half {line.growth / scale:.2f} +- {line.noise / scale:.2f} {unit}{' GROWS' if grows else ''}"
            )
            grew = grew or grows
        return grew


async def failed_dials(folder: Path, count: int, *, target: str) -> Seen:
    """Let the agent of a folder dial in vain so many times."""
    seen = Seen(f"an agent that dials {target} in vain")
    every = max(1, count // _SAMPLES)
    config = Config(controller=target, restart_after=0.0, facts_interval=0.0)
    async with Agent.start(folder, config) as agent, asyncio.TaskGroup() as group:
        agent.backoff = Backoff(first=1e-6, limit=1e-6)
        serving = group.create_task(agent.run())
        looked = 0
        while agent.dials < count:
            await asyncio.sleep(0.005)
            if agent.dials - looked >= every:
                looked = agent.dials
                seen.add(looked, {**figures(os.getpid()), "tasks": len(asyncio.all_tasks())})
        serving.cancel()
    return seen


async def attaches(folders: Sequence[Path], count: int, *, site: Site, port: int) -> Seen:
    """Let agents attach and leave so many times in all. What is looked at is the controller."""
    seen = Seen("a controller to which agents come and go")
    assert site.process is not None
    pid = site.process.pid
    done = 0

    async def cycle(folder: Path, share: int) -> None:
        nonlocal done
        draw = random.Random(folder.name)
        left = share
        while left:
            config = Config(controller=site.listen[0], restart_after=0.0, facts_interval=0.0, reconnect_limit=1.0)
            async with Agent.start(folder, config) as agent:
                for _ in range(min(left, _LIFE)):
                    left -= 1
                    began = time.monotonic()
                    await _attach(agent, goodbye=draw.random() < 0.3)
                    done += 1
                    await asyncio.sleep(max(0.0, began + 1 / _ATTACHES_A_SECOND - time.monotonic()))

    async def look() -> None:
        every, looked = max(1, count // _SAMPLES), 0
        while True:
            await asyncio.sleep(0.02)
            if done - looked >= every:
                looked = done
                seen.add(done, {**figures(pid), "tasks": await _tasks(port)})

    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look())
        async with asyncio.TaskGroup() as cycling:
            for number, folder in enumerate(folders):
                share = count // len(folders) + (number < count % len(folders))
                cycling.create_task(cycle(folder, share))
        await end_all([looking])
    return seen


async def _attach(agent: Agent, *, goodbye: bool) -> None:
    """Attach, and leave: with a goodbye or without."""
    ready = asyncio.Event()
    agent.session.on_ready = lambda _name, _epoch: ready.set()
    agent.stopping.clear()
    agent.session.stopping = agent.session.attempts.draining = False
    async with asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:
        serving = group.create_task(agent.run())
        await ready.wait()
        if goodbye:
            agent.stopping.set()
            await serving
        else:
            serving.cancel()


async def _tasks(port: int) -> float:
    _, _, text = await got(Address("127.0.0.1", port), "/metrics")
    [line] = [line for line in text.splitlines() if line.startswith("pybible_event_loop_tasks ")]
    return float(line.split()[1])


async def measure(folder: Path, *, dials: int, attached: int, agents: int, say: Callable[[str], None]) -> list[Seen]:
    """Do both, and return what was seen."""
    port = _free_port()
    settings = _SETTINGS.format(port=port)
    site = Site(folder=folder, draw=random.Random(0), controller_life=0, agent_life=0, settings=settings)
    folders = [folder / f"agent{number:03}" for number in range(agents)]
    await site.start_controller()
    try:
        await enrol_all(folders, await site.token(agents))
        seen = [await attaches(folders, attached, site=site, port=port)] if attached else []
    finally:
        await site.stop_controller()
    if dials:
        say("the controller is gone")
        seen.append(await failed_dials(folders[0], dials, target=site.listen[0]))
    return seen


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.load.cycles", description=__doc__)
    parser.add_argument("--dials", type=int, default=100_000)
    parser.add_argument("--attaches", type=int, default=10_000)
    parser.add_argument("--agents", type=int, default=30, help="how many come and go")
    parser.add_argument("--series", type=Path, metavar="FILE", help="write down all that was seen, as JSON")
    options = parser.parse_args()
    logs.configure(level="critical", style="line")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cycles") as scratch:
        seen = asyncio.run(
            measure(Path(scratch), dials=options.dials, attached=options.attaches, agents=options.agents, say=_say)
        )
    if options.series is not None:
        told = [{"what": each.what, "cycles": each.cycles, **each.figures} for each in seen]
        options.series.write_text(json.dumps(told))
    grew = [each.judge(_say) for each in seen]
    _say(f"{time.monotonic() - began:.0f} s: {'something grows' if any(grew) else 'nothing grows'}")
    return 1 if any(grew) else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
