"""handlers: the handlers of a play under their rendered names."""

from __future__ import annotations

from collections.abc import Iterable

from pybible.server.engine.model.play import Node
from pybible.server.engine.strategy.cursor import tasks_of
from pybible.server.engine.strategy.handlers import NamedHandler
from pybible.server.engine.templating.templar import Templar
from pybible.wire.errors import SourceError


def name_handlers(nodes: Iterable[Node], templar: Templar) -> list[NamedHandler]:
    """Return handlers with their names rendered; one whose name can't be is reached by `listen` only."""
    named: list[NamedHandler] = []
    for node in nodes:
        for task in tasks_of((node,)):
            try:
                name = templar.render_text(task.name)
            except SourceError:
                name = ""
            group = id(task.role) if task.role is not None else task.origin.file
            named.append(NamedHandler(task=task, name=name, group=group))
    return named
