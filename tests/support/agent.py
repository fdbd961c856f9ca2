"""agent: a real pybible-agent as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path


class AgentProcess:
    """A running agent."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it."""
        self.process.send_signal(number)

    async def kill(self) -> None:
        """Kill it as the kernel would."""
        self.process.kill()
        await self.process.wait()

    async def ended(self, seconds: float = 20.0) -> int:
        """Wait for its end and return its exit status."""
        async with asyncio.timeout(seconds):
            return await self.process.wait()


@asynccontextmanager
async def running_agent(
    folder: Path, *, environment: Mapping[str, str] | None = None, **settings: object
) -> AsyncIterator[AgentProcess]:
    """Run the agent whose identity is in `folder`. `settings` are those of its configuration file."""
    config = folder.with_suffix(".toml")
    given = {"log_level": "debug", "reconnect_limit": 1.0, "facts_interval": 0.0, **settings}
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in given.items()))
    log = folder.with_suffix(".log")
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pybible.agent.cli", "run", "--state", str(folder), "--config", str(config)),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield AgentProcess(process, log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
