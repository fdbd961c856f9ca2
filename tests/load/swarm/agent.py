"""agent: one agent of a swarm: the agent's own code, with a pool that answers, and a script that may end or cut it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.become import WorkerIdentity
from pybible.agent.config import Config
from pybible.agent.daemon import Agent
from pybible.agent.workers import ContentSource, Sink
from pybible.wire.tasks import Become
from tests.load.swarm.pool import ScriptedPool
from tests.load.swarm.script import Act, Deed, Script


@dataclass(frozen=True, slots=True)
class Terms:
    """What the agents of a swarm have in common.

    `mark` is told of every attempt that is run: its id and its agent; `ended` of those that came to their end; `did` of
    everything else that the script has an agent do, and of the agent.
    """

    config: Config
    script: Script
    mark: Callable[[str, str], None]
    ended: Callable[[str], None] = lambda _attempt_id: None
    did: Callable[[str, str], None] = lambda _deed, _agent: None


class SwarmAgent:
    """One agent, in the folder that holds its identity."""

    def __init__(self, folder: Path, terms: Terms) -> None:
        self._folder = folder
        self._terms = terms
        self._number = 0
        self._agent: Agent | None = None
        # Set by an act that the running process does not survive, or that its connection does not.
        self._act = asyncio.Event()
        self._next = Act()
        self._clones = 0

    @property
    def attached(self) -> bool:
        """Whether it has a session that is READY."""
        return self._agent is not None and self._agent.session.stream is not None

    async def run(self) -> None:
        """Live until cancelled: each turn is the life of one process."""
        while True:
            async with Agent.start(self._folder, self._terms.config, make_pool=self._make_pool) as agent:
                self._agent = agent
                try:
                    await self._live(agent)
                finally:
                    self._agent = None
            await asyncio.sleep(self._next.seconds)

    async def _live(self, agent: Agent) -> None:
        """Serve, and be cut off as the script says. Returns when the process is to be killed."""
        while True:
            self._act.clear()
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(agent.run())
                await self._act.wait()
                if self._next.deed is Deed.CLONE:
                    await self._clone(self._next.seconds)
                serving.cancel()
            if self._next.deed is Deed.RESTART:
                return
            if self._next.deed is not Deed.CLONE:
                await asyncio.sleep(self._next.seconds)

    async def _clone(self, seconds: float) -> None:
        """Let another process use this identity for a while."""
        self._clones += 1
        folder = self._folder.with_name(f"{self._folder.name}.clone{self._clones}")
        await asyncio.to_thread(shutil.copytree, self._folder, folder, ignore=shutil.ignore_patterns("journal*"))
        async with Agent.start(folder, self._terms.config, make_pool=self._make_pool) as clone:
            try:
                async with asyncio.timeout(seconds):
                    await clone.run()
            except TimeoutError:
                pass
        await asyncio.to_thread(shutil.rmtree, folder)

    def _make_pool(
        self,
        sink: Sink,
        *,
        slots: int,
        contents: ContentSource,
        idle_seconds: float,
        may_start: Callable[[], bool],
        identify: Callable[[Become | None], WorkerIdentity],
    ) -> ScriptedPool:
        del contents, idle_seconds, identify
        return ScriptedPool(
            sink, slots=slots, may_start=may_start, choose=self._choose, ended=self._terms.ended, away=self._away
        )

    def _choose(self, attempt_id: str) -> Act:
        self._number += 1
        self._terms.mark(attempt_id, self._folder.name)
        act = self._terms.script.act(self._folder.name, self._number)
        if act.deed is not Deed.OK:
            self._terms.did(act.deed.value, self._folder.name)
        return act

    def cut(self, seconds: float) -> None:
        """Cut its connection, and let it come back after a while."""
        self._away("", Act(Deed.DISCONNECT, seconds))

    def _away(self, attempt_id: str, act: Act) -> None:
        if act.deed is Deed.TWICE:
            self._repeat(attempt_id)
        elif not self._act.is_set():
            self._next = act
            self._act.set()

    def _repeat(self, attempt_id: str) -> None:
        """Send a result again."""
        if self._agent is None:
            return
        attempts = self._agent.session.attempts
        entry = attempts.journal.find(attempt_id)
        if entry is not None and entry.result is not None and attempts.outlet is not None:
            attempts.outlet.result(attempt_id, entry.result)
