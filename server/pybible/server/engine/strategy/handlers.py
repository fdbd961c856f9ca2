"""handlers: which handlers a notification means.

The list holds the roles' handlers first, then the play's own, and grows when a role is included at run time. Of several
handlers with one name the last file wins, and within one file the first (observed with ansible-core 2.19).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pybible.server.engine.model.play import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedHandler:
    """A handler under its rendered name; `group` is equal for the handlers of one file or role."""

    task: Task
    name: str
    group: object


class Handlers:
    """The handlers of a play, in the order in which they run."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self._named: list[NamedHandler] = []
        self._found: dict[str, tuple[Task, ...]] = {}

    def add(self, handlers: Iterable[NamedHandler]) -> None:
        """Append handlers; one that is already there stays where it is."""
        known = {task.id for task in self.tasks}
        for handler in handlers:
            if handler.task.id not in known:
                self.tasks.append(handler.task)
                self._named.append(handler)
        self._found.clear()

    def find(self, notification: str) -> tuple[Task, ...]:
        """Return the handlers that `notification` means: one by its name, and all that listen to it."""
        found = self._found.get(notification)
        if found is None:
            found = self._found[notification] = self._search(notification)
        return found

    def _search(self, notification: str) -> tuple[Task, ...]:
        named = [handler for handler in self._named if notification in _names(handler)]
        by_name: Sequence[Task] = ()
        if named:
            last = named[-1].group
            by_name = (next(handler.task for handler in named if handler.group == last),)
        listening = self._listening(notification)
        return (*by_name, *(task for task in listening if task not in by_name))

    def _listening(self, topic: str) -> list[Task]:
        """Return who listens to a topic; of several of one name, the last file's (a role may be included often)."""
        groups = reversed(dict.fromkeys(handler.group for handler in self._named))
        listening: dict[str, Task] = {}
        for group in groups:
            for handler in self._named:
                if handler.group == group and topic in handler.task.listen:
                    listening.setdefault(handler.name or handler.task.id, handler.task)
        return list(listening.values())


def _names(handler: NamedHandler) -> tuple[str, ...]:
    role = handler.task.role
    if not handler.name:
        return ()
    if role is None:
        return (handler.name,)
    if not role.collection:
        return (handler.name, f"{role.name} : {handler.name}")
    short = f"{role.name.removeprefix(f'{role.collection}.')} : {handler.name}"
    return (handler.name, short, f"{role.collection}.{short}")
