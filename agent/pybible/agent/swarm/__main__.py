"""The command: python -m pybible.agent.swarm: one process of a swarm, until SIGTERM or SIGINT.

It enrols its agents with the join token on its standard input, runs them, and tells the service manager that it is
ready when each has had a session.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pybible.agent import systemd
from pybible.agent.become import WorkerIdentity
from pybible.agent.config import Config
from pybible.agent.daemon import Agent
from pybible.agent.swarm.identities import enrol_all
from pybible.agent.swarm.pool import AnsweringPool
from pybible.agent.workers import ContentSource, Sink
from pybible.wire import logs
from pybible.wire.tasks import Become

# None of them gathers facts, and one that starts itself anew would take the others with it.
_CONFIG = Config(slots=8, restart_after=0.0, facts_interval=0.0)


async def run(folders: list[Path], token: str) -> None:
    """Enrol an agent for each folder, of the folder's name, and run them. AccessDenied when one is refused."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    await enrol_all(folders, token)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    missing = set(folders)

    def attached(folder: Path) -> None:
        if folder in missing:
            missing.remove(folder)
            if not missing:
                systemd.notify("READY=1")

    async with asyncio.TaskGroup() as group:
        agents = [group.create_task(_live(folder, attached)) for folder in folders]
        await stop.wait()
        for agent in agents:
            agent.cancel()


async def _live(folder: Path, attached: Callable[[Path], None]) -> None:
    """Run one agent; say when it has a session."""
    async with Agent.start(folder, _CONFIG, make_pool=_answering) as agent:
        keep = agent.session.on_ready

        def ready(name: str, epoch: int) -> None:
            keep(name, epoch)
            attached(folder)

        agent.session.on_ready = ready
        await agent.run()


def _answering(
    sink: Sink,
    *,
    slots: int,
    contents: ContentSource,
    idle_seconds: float,
    may_start: Callable[[], bool],
    identify: Callable[[Become | None], WorkerIdentity],
) -> AnsweringPool:
    del contents, idle_seconds, identify
    return AnsweringPool(sink, slots=slots, may_start=may_start)


def main() -> None:
    """Run one process of a swarm."""
    parser = argparse.ArgumentParser(prog="python -m pybible.agent.swarm", description="Run many agents in a process.")
    parser.add_argument("--agents", type=int, required=True, metavar="N", help="how many")
    parser.add_argument("--first", type=int, default=1, metavar="NUMBER", help="the first one's number")
    parser.add_argument("--prefix", default="swarm", help="they are called PREFIX00001, PREFIX00002, ...")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where their folders are to be")
    options = parser.parse_args()
    logs.configure(level="warning", style="line")
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    numbers = range(options.first, options.first + options.agents)
    options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    folders = [options.state / f"{options.prefix}{number:05}" for number in numbers]
    asyncio.run(run(folders, sys.stdin.readline().strip()))


if __name__ == "__main__":
    main()
