"""free: every host goes through the play at its own pace. host_pinned is the same, with fewer hosts at a time."""

from __future__ import annotations

from collections.abc import Sequence

from pybible.server.engine.model.play import Node
from pybible.server.engine.strategy.batch import Batch
from pybible.server.engine.strategy.events import Step, TaskEnd
from pybible.server.engine.strategy.handlers import Handlers


class Free:
    """One batch without lockstep. For each host: `next`, then `feed`, until `next` gives None."""

    def __init__(self, nodes: Sequence[Node], hosts: Sequence[str], *, handlers: Handlers) -> None:
        self.batch = Batch(nodes, hosts, handlers)
        self._out: set[str] = set()

    def next(self, host: str) -> Step | None:
        """Return what the host is to run now, None when it has nothing left (now)."""
        if host in self._out:
            raise RuntimeError(f"{host} is still at a task")
        task = self.batch.current(host)
        if task is None:
            return None
        self._out.add(host)
        return Step(task=task, hosts=(host,), handler=self.batch.cursors[host].in_handlers)

    def ready(self) -> list[str]:
        """Return the hosts that have something to do and are at no task: at the start, and after clear_host_errors."""
        return [host for host in self.batch.hosts if host not in self._out and self.batch.current(host) is not None]

    def feed(self, host: str, end: TaskEnd) -> bool:
        """The host's task ended. True when it failed and a rescue takes the host."""
        if host not in self._out:
            raise RuntimeError(f"{host} is at no task")
        self._out.discard(host)
        return self.batch.end(host, end)
