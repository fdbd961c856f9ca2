"""faults: what happens to agents meanwhile: cut and half-open connections, killed workers, a killed agent."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.load.processes import descendants
from tests.support.agent import AgentProcess, running_agent
from tests.support.fault_proxy import FaultProxy, Way

SCRIPT = "fail=0.02,lag=0.02:0.3,disconnect=0.004:1,restart=0.004:1,late=0.0005:20,twice=0.01"
_BREAKS = {"cut": 3, "reset": 3, "half open": 3, "stall": 1, "delay": 1}


async def break_network(proxy: FaultProxy, draw: random.Random, *, pause: float, happened: Counter[str]) -> None:
    """Do one thing after the other to a few of the connections, until cancelled."""
    proxy.pick = lambda links: draw.sample(links, min(len(links), 5))
    while True:
        await asyncio.sleep(pause * draw.uniform(0.5, 1.5))
        [what] = draw.choices(*zip(*_BREAKS.items(), strict=True))
        happened[f"network: {what}"] += 1
        match what:
            case "cut":
                proxy.cut()
            case "reset":
                proxy.reset()
            case "half open":
                proxy.half_open()
            case "stall":
                proxy.stall(draw.choice(tuple(Way)))
            case _:
                proxy.delay = draw.uniform(0.005, 0.05)
        await asyncio.sleep(draw.uniform(0.5, 3.0))
        proxy.resume()
        proxy.delay = 0.0


class RealAgent:
    """A real agent with real workers; who it is now."""

    def __init__(self, folder: Path, dial: str) -> None:
        self.folder = folder
        self._dial = dial
        self._process: AgentProcess | None = None
        self.gone = asyncio.Event()

    @property
    def pid(self) -> int:
        """Its process; 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    @property
    def worker(self) -> int:
        """Its newest worker; 0 while there is none."""
        return max(descendants([self.pid]), default=0) if self.pid else 0

    async def run(self) -> None:
        """Run it, and start it again whenever it dies. Ends when cancelled."""
        while True:
            async with running_agent(self.folder, controller=self._dial, log_level="warning") as self._process:
                await self._process.process.wait()
            self._process = None
            await asyncio.sleep(1.0)


async def kill_now_and_then(
    pid: Callable[[], int], draw: random.Random, *, pause: float, what: str, happened: Counter[str]
) -> None:
    """Kill a process again and again, until cancelled."""
    while True:
        await asyncio.sleep(pause * draw.uniform(0.5, 1.5))
        if found := pid():
            with suppress(ProcessLookupError):
                os.kill(found, signal.SIGKILL)
                happened[f"{what} killed"] += 1
