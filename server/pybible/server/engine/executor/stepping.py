"""stepping: --step: the operator says for each task whether it is to run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pybible.server.engine.model.play import Task
from pybible.server.results.events import Message, MessageLevel, RunEvent
from pybible.wire.errors import ExitStatus, PybibleError

# Puts a question and waits for the line that answers it. EOFError when there is nobody to answer any more.
AskLine: TypeAlias = Callable[[str], Awaitable[str]]


class NoAnswer(PybibleError):
    """Nobody answers, and without an answer there is no going on."""

    exit_status = ExitStatus.CANCELLED


class Stepping:
    """Asks until the operator wants to be asked no more."""

    def __init__(self, ask: AskLine, show: Callable[[RunEvent], None]) -> None:
        self._ask = ask
        self._show = show
        self._asking = True
        # Under the free strategy several hosts want to know at once.
        self._turn = asyncio.Lock()

    async def wants(self, task: Task, *, host: str = "") -> bool:
        """Whether a task is to run. Raises NoAnswer."""
        async with self._turn:
            if not self._asking:
                return True
            of_host = f"on {host} " if host else ""
            question = f"Perform task: {described(task)} {of_host}(N)o/(y)es/(c)ontinue: "
            try:
                answer = (await self._ask(question)).strip().lower()
            except EOFError:
                raise NoAnswer("--step needs an answer for each task, and standard input has ended") from None
            self._asking = answer not in ("c", "continue")
            self._show(Message(level=MessageLevel.BANNER, text=question))
            return not self._asking or answer in ("y", "yes")


def described(task: Task) -> str:
    """Return a task as questions name it: by its name as written."""
    name = task.name or task.action_written
    of_role = f"{task.role.name} : " if task.role is not None else ""
    return f"{'HANDLER' if task.is_handler else 'TASK'}: {of_role}{name}"
