"""debugger: `debugger:` and the strategy `debug`: look at a task that went wrong, put it right, run it again."""

from __future__ import annotations

import ast
import asyncio
import pprint
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from typing import Final

from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.executor.outcome import HostOutcome
from pybible.server.engine.executor.stepping import AskLine, NoAnswer, described
from pybible.server.engine.executor.targets import plain
from pybible.server.engine.model.play import Task
from pybible.server.engine.model.text import Trusted
from pybible.server.engine.templating.templar import Templar
from pybible.server.results.events import Message, MessageLevel, Status
from pybible.wire.errors import Origin, PybibleError
from pybible.wire.values import JsonValue

WHENS: Final = ("always", "never", "on_failed", "on_unreachable", "on_skipped")
_HELP: Final = """
Documented commands (type help <topic>):
========================================
EOF  c  continue  h  help  p  pprint  q  quit  r  redo  u  update_task
"""
_TYPED: Final = Origin("<debugger>", 1, 1)


class Choice(Enum):
    """What is to come after a look."""

    GO_ON = auto()
    REDO = auto()


def is_due(compiled: CompiledTask, outcome: HostOutcome, *, everywhere: bool) -> bool:
    """Whether an outcome wants the debugger. `everywhere`: the play's strategy is `debug`."""
    when = compiled.keyword("debugger")
    status = outcome.final.status
    failed = status is Status.FAILED and not outcome.ignore_errors
    if when is None:
        return everywhere and (failed or status is Status.UNREACHABLE)
    return {
        "always": True,
        "on_failed": failed,
        "on_unreachable": status is Status.UNREACHABLE,
        "on_skipped": status is Status.SKIPPED,
    }.get(str(when), False)


class Debugger:
    """One task on one host under the debugger: what was changed of it is kept from look to look."""

    def __init__(self, context: BatchContext, compiled: CompiledTask, host: str, ask: AskLine) -> None:
        self._context = context
        self._written = compiled
        self._host = host
        self._ask = ask
        self._args: dict[str, object] = dict(compiled.task.args)
        self._task_vars: dict[str, object] = {}
        self.compiled = compiled
        # What was set of the host's variables, in force once the task was updated.
        self.variables: dict[str, object] = {}

    async def look(self, outcome: HostOutcome, turn: asyncio.Lock) -> Choice:
        """Let the operator look at an outcome. Raises NoAnswer when the run is to end."""
        question = f"[{self._host}] {described(self.compiled.task)} (debug)> "
        async with turn:
            while True:
                try:
                    line = (await self._ask(question)).strip()
                except EOFError:
                    line = "EOF"
                word, _, rest = line.partition(" ")
                match word:
                    case "c" | "continue":
                        return Choice.GO_ON
                    case "r" | "redo":
                        self._recompile()
                        return Choice.REDO
                    case "q" | "quit" | "EOF":
                        raise NoAnswer("User interrupted execution")
                    case "u" | "update_task":
                        self._args = dict(self._written.task.args)
                        self.variables = dict(self._task_vars)
                    case "p" | "pprint":
                        self._try(lambda text=rest: self._say(pprint.pformat(self._value(text, outcome))))  # type: ignore[misc]
                    case "h" | "help" | "?":
                        self._say(_HELP)
                    case "":
                        continue
                    case _:
                        self._try(lambda text=line: self._assign(text, outcome))  # type: ignore[misc]

    def _recompile(self) -> None:
        if self._args != dict(self._written.task.args):
            task = replace(self._written.task, args=self._args)
            self.compiled = CompiledTask(task, self._context.run.engine)
        else:
            self.compiled = self._written

    def _say(self, text: str) -> None:
        self._context.run.show(Message(level=MessageLevel.NOTICE, text=text))

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except PybibleError as error:
            self._say(f"***{error.message}")
        except (SyntaxError, ValueError, TypeError, LookupError) as error:
            self._say(f"***{type(error).__name__}: {error}")

    def _value(self, expression: str, outcome: HostOutcome) -> object:
        """Return the value of an expression in which `task`, `task_vars`, `host` and `result` have a meaning."""
        task = self.compiled.task
        templar = self._context.templar(self._host, task)
        if expression.strip() in ("task", ""):
            return Named(described(task))
        seen = {**templar.variables, **self._task_vars} if "task_vars" in expression else {}
        return templar.with_variables(
            {
                **self._task_vars,
                "task": {**_shown(task), "args": self._rendered(templar)},
                "task_vars": seen,
                "host": self._host,
                "result": dict(outcome.final.result),
            }
        ).evaluate(Trusted(expression, _TYPED))

    def _rendered(self, templar: Templar) -> object:
        try:
            return templar.render(dict(self._args))
        except PybibleError:
            return plain(self._args)

    def _assign(self, line: str, outcome: HostOutcome) -> None:
        """Carry out `task.args[NAME] = VALUE` or `task_vars[NAME] = VALUE`; anything else is an expression."""
        body = ast.parse(line).body
        if len(body) != 1 or not isinstance(body[0], ast.Assign) or len(body[0].targets) != 1:
            self._say(pprint.pformat(self._value(line, outcome)))
            return
        target = body[0].targets[0]
        value = self._value(ast.unparse(body[0].value), outcome)
        if not isinstance(target, ast.Subscript) or not isinstance(target.slice, ast.Constant):
            raise ValueError("only task.args[NAME] and task_vars[NAME] can be set")
        name, of = str(target.slice.value), ast.unparse(target.value)
        if of == "task.args":
            self._args[name] = value
        elif of == "task_vars":
            self._task_vars[name] = value
        else:
            raise ValueError("only task.args[NAME] and task_vars[NAME] can be set")


class Named:
    """Something that is shown by a name alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def _shown(task: Task) -> dict[str, JsonValue]:
    return {"name": str(task.name), "action": str(task.action_written), "when": plain(task.keywords.when)}
