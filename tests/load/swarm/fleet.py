"""fleet: one process of a swarm: enrols its agents, runs them, and says on standard output how many are attached."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pybible.agent.config import Config
from pybible.agent.swarm.identities import enrol_all
from pybible.server.controller.ports import raise_file_limit
from pybible.wire import logs
from tests.load.swarm.agent import SwarmAgent, Terms
from tests.load.swarm.script import Script

_LOOK_SECONDS = 0.1
_SLOTS = 8
_STORM_SECONDS = 2.0


def parser() -> argparse.ArgumentParser:
    """Return what every process of a swarm is told."""
    parsed = argparse.ArgumentParser(prog="python -m tests.load.swarm", description="Run many agents in few processes.")
    parsed.add_argument("--agents", type=int, required=True, metavar="N", help="how many")
    parsed.add_argument("--first", type=int, default=1, metavar="NUMBER", help="the first one's number")
    parsed.add_argument("--prefix", default="swarm", help="they are called PREFIX00001, PREFIX00002, ...")
    parsed.add_argument("--state", type=Path, metavar="DIR", help="where their folders are, or will be")
    parsed.add_argument("--dial", default="", metavar="HOST:PORT", help="the controller, if not where they enrolled")
    parsed.add_argument("--token", default="", help="join token, for those that have no identity yet")
    parsed.add_argument("--seed", type=int, default=0, help="of the script")
    parsed.add_argument("--script", default="", metavar="DEEDS", help="e.g. fail=0.05,lag=0.1:2,disconnect=0.01:5")
    parsed.add_argument(
        "--marks", type=Path, metavar="FILE", help="gets lines: ATTEMPT b|e TIME AGENT, and DEED d TIME AGENT"
    )
    parsed.add_argument("--reconnect-limit", type=float, default=60.0, metavar="SECONDS")
    parsed.add_argument("--log-level", default="error", choices=("debug", "info", "warning", "error"))
    return parsed


def folders(options: argparse.Namespace) -> list[Path]:
    """Return the folders of the agents that these options name."""
    numbers = range(options.first, options.first + options.agents)
    return [options.state / f"{options.prefix}{number:05}" for number in numbers]


async def run(options: argparse.Namespace) -> None:
    """Run the agents until SIGTERM or SIGINT. SIGUSR1 cuts a random third of them off."""
    raise_file_limit()
    options.state.mkdir(parents=True, exist_ok=True)
    names = folders(options)
    await enrol_all(names, options.token)
    _say("enrolled")
    config = Config(
        controller=options.dial,
        slots=_SLOTS,
        reconnect_limit=options.reconnect_limit,
        restart_after=0.0,
        facts_interval=0.0,
    )
    with _marks(options.marks) as write:
        terms = Terms(
            config,
            Script(options.script, seed=options.seed),
            mark=lambda attempt_id, agent: write(attempt_id, "b", agent),
            ended=lambda attempt_id: write(attempt_id, "e", ""),
            did=lambda deed, agent: write(deed, "d", agent),
        )
        agents = [SwarmAgent(folder, terms) for folder in names]
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        draw = random.Random(options.seed)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _storm, agents, draw)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(agent.run()) for agent in agents]
            tasks.append(group.create_task(_report(agents)))
            await stop.wait()
            for task in tasks:
                task.cancel()


def _storm(agents: Sequence[SwarmAgent], draw: random.Random) -> None:
    """Cut a random third of them off, all at once."""
    for agent in draw.sample(agents, len(agents) // 3):
        agent.cut(draw.uniform(0, _STORM_SECONDS))


async def _report(agents: Sequence[SwarmAgent]) -> None:
    """Say how many are attached, whenever it is another number."""
    told = -1
    while True:
        attached = sum(agent.attached for agent in agents)
        if attached != told:
            _say(f"attached {attached}")
            told = attached
        await asyncio.sleep(_LOOK_SECONDS)


@contextmanager
def _marks(path: Path | None) -> Iterator[Callable[[str, str, str], None]]:
    """Give what writes a mark at once and whole, so that it outlives the process."""
    if path is None:
        yield lambda _attempt_id, _what, _agent: None
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(attempt_id: str, what: str, agent: str) -> None:
        os.write(handle, f"{attempt_id} {what} {time.time():.6f} {agent}\n".encode())

    try:
        yield write
    finally:
        os.close(handle)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run one process of a swarm."""
    options = parser().parse_args()
    logs.configure(level=options.log_level, style="line")
    for chatty in ("grpc", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
