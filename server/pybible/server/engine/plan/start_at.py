"""start_at: the task with which --start-at-task begins."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator

from pybible.server.engine.model.play import Block, Node, Task
from pybible.server.engine.plan.listing import task_name


def matches(task: Task, wanted: str) -> bool:
    """Whether `wanted`, a name or a glob, means the task: by its own name, or by its role's and its own."""
    names = [name for name in (task.name, task_name(task)) if name]
    return any(name == wanted or fnmatch.fnmatchcase(name, wanted) for name in names)


def first_match(blocks: Iterable[Block], wanted: str) -> Task | None:
    """Return the first task that `wanted` means; rescue and always parts are not where a play can begin."""
    return next((task for task in _tasks(blocks) if not task.implicit and matches(task, wanted)), None)


def _tasks(nodes: Iterable[Node]) -> Iterator[Task]:
    for node in nodes:
        if isinstance(node, Task):
            yield node
        else:
            yield from _tasks(node.block)
