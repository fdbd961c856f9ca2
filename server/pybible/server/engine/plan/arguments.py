"""arguments: tasks of native modules with an argument that the module does not have, found before any host is touched.

Only a task that can't but fail stops a run before it begins: one that nothing holds back and nothing forgives. Any
other fails where Ansible would have it fail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from pybible.server.engine.model.play import Block, Node, Play, Playbook, Task
from pybible.server.engine.model.text import origin_of
from pybible.server.engine.parsing.keywords import nearest
from pybible.wire.errors import ParseError

# Made from the agent's modules: module -> its arguments with their aliases.
ARGUMENTS_FILE = Path(__file__).with_name("native_arguments.json")
# What the engine itself takes of a task's arguments.
_ENGINES = frozenset({"_raw_params"})
_FORGIVING = ("ignore_errors", "debugger")


@cache
def native_arguments() -> Mapping[str, Sequence[str]]:
    """Return the names of the arguments of every native module."""
    found: Mapping[str, Sequence[str]] = json.loads(ARGUMENTS_FILE.read_text(encoding="utf-8"))
    return found


def check_arguments(playbooks: Sequence[Playbook]) -> None:
    """Raise ParseError, with its place, for the first task that is sure to fail for an argument."""
    for playbook in playbooks:
        for play in playbook.plays:
            for task in _sure(play):
                wrong = wrong_argument(task)
                if wrong is not None:
                    raise wrong


def wrong_argument(task: Task) -> ParseError | None:
    """Return what is to be said of a task with an argument that its native module does not have."""
    known = native_arguments().get(task.action) if task.bridged is None else None
    if known is None:
        return None
    for name in task.args:
        if name not in known and name not in _ENGINES:
            text = f"'{name}' is not an argument of the module '{task.action_written}'."
            hint = nearest(str(name), known) or f"Arguments are {', '.join(known)}."
            return ParseError(text, origin=origin_of(name) or task.origin, hint=hint)
    return None


def _sure(play: Play) -> Iterator[Task]:
    """Yield the tasks that run on every host that comes to them, and whose failure counts."""
    for block in play.blocks:
        yield from _of(block)


def _of(node: Node) -> Iterator[Task]:
    if isinstance(node, Block):
        # What a rescue catches is not lost; whether a rescue runs is not sure.
        for inner in (*(() if node.rescue else node.block), *node.always):
            yield from _of(inner)
    elif not (
        node.keywords.when
        or node.has_loop
        or node.failed_when
        or node.args_template
        or "never" in node.keywords.tags
        or any(node.keywords.get(name) is not None for name in _FORGIVING)
    ):
        yield node
