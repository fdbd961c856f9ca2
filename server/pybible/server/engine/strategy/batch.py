"""batch: the hosts of one batch with their cursors, and what every strategy does when a task ends on one of them."""

from __future__ import annotations

from collections.abc import Sequence

from pybible.server.engine.model.play import Node, Task
from pybible.server.engine.strategy.cursor import Cursor
from pybible.server.engine.strategy.events import Effect, TaskEnd, Verdict
from pybible.server.engine.strategy.handlers import Handlers


class Batch:
    """Where every host of a batch is.

    `failed` are the hosts that are out by failure (or were marked by any_errors_fatal: those may still have rescue and
    always tasks to run), `unreachable` those that are out because nobody answers. `play_ended`: end_play was met.
    """

    def __init__(self, nodes: Sequence[Node], hosts: Sequence[str], handlers: Handlers) -> None:
        self.hosts = tuple(hosts)
        self.handlers = handlers
        self.cursors = {host: Cursor(nodes) for host in self.hosts}
        self.failed: set[str] = set()
        self.unreachable: set[str] = set()
        self.play_ended = False

    def current(self, host: str) -> Task | None:
        """Return the task that is due on a host, None when it has nothing (more) to do."""
        return None if host in self.unreachable else self.cursors[host].current

    def reachable(self) -> list[str]:
        """Return the hosts that are not unreachable, in order."""
        return [host for host in self.hosts if host not in self.unreachable]

    def alive(self) -> list[str]:
        """Return the hosts that are neither failed nor unreachable, in order."""
        return [host for host in self.hosts if host not in self.unreachable and host not in self.failed]

    def end(self, host: str, end: TaskEnd) -> bool:
        """Move the host on. True when it failed and a rescue takes it."""
        cursor = self.cursors[host]
        if end.verdict is Verdict.UNREACHABLE:
            self.unreachable.add(host)
            cursor.advance()
            return False
        if end.notify:
            cursor.asked.update(dict.fromkeys(end.notify))
            if cursor.in_handlers:
                self._resolve(cursor)
        if end.verdict is Verdict.FAILED:
            return self.fail(host)
        self._move(host, cursor, end)
        return False

    def fail(self, host: str) -> bool:
        """The host failed where it is. True when a rescue takes it."""
        cursor = self.cursors[host]
        rescued = cursor.rescuable
        cursor.fail()
        if cursor.failed:
            self.failed.add(host)
        return rescued

    def close(self) -> None:
        """The batch is over: hosts that failed and then had only always parts to run are failed now."""
        self.failed.update(host for host, cursor in self.cursors.items() if cursor.failed)

    def _move(self, host: str, cursor: Cursor, end: TaskEnd) -> None:
        task = cursor.current
        match end.effect:
            case Effect.FLUSH:
                self._resolve(cursor)
                cursor.flush(self.handlers.tasks)
            case Effect.END_HOST:
                cursor.end()
            case Effect.END_BATCH | Effect.END_PLAY:
                self.play_ended = self.play_ended or end.effect is Effect.END_PLAY
                for other in self.reachable():
                    self.cursors[other].end()
            case Effect.END_ROLE if task is not None and task.role is not None:
                cursor.end_role(task.role)
            case Effect.CLEAR_ERRORS:
                cursor.advance()
                self._clear_errors()
            case _ if end.include:
                cursor.include(end.include)
            case _:
                cursor.advance()

    def _resolve(self, cursor: Cursor) -> None:
        """Find the handlers that were asked for: at the flush, so that those of roles included since then count."""
        for name in cursor.asked:
            cursor.notified.update(task.id for task in self.handlers.find(name))
        cursor.asked.clear()

    def _clear_errors(self) -> None:
        self.failed.clear()
        self.unreachable.clear()
        for cursor in self.cursors.values():
            cursor.clear_errors()
