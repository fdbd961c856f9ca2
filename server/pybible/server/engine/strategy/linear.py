"""linear: every host of the batch runs a task before any goes on to the next.

The order is that of the list of all tasks: the next one is the earliest after the last that some live host has due;
the others wait. Included tasks come right after their include, handlers right after their flush.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pybible.server.engine.model.play import Node, Task
from pybible.server.engine.strategy.batch import Batch
from pybible.server.engine.strategy.cursor import tasks_of
from pybible.server.engine.strategy.events import Effect, Step, Stop, TaskEnd, Verdict
from pybible.server.engine.strategy.handlers import Handlers


class Linear:
    """The lockstep of one batch. `next`, then `feed` for every host of the step, then `next` again."""

    def __init__(
        self,
        nodes: Sequence[Node],
        hosts: Sequence[str],
        *,
        handlers: Handlers,
        max_fail_percentage: float | None = None,
        batch_size: int = 0,
    ) -> None:
        self.batch = Batch(nodes, hosts, handlers)
        self.stop: Stop | None = None
        self._limit = max_fail_percentage
        # With the hosts that failed in earlier plays; as failures of this batch they don't count.
        self._size = batch_size or len(self.batch.hosts)
        self._order: list[str] = [task.id for task in tasks_of(nodes)]
        self._position = 0
        self._waiting: dict[str, None] = {}
        # Hosts that were in the batch's race when the step began, and how the step went.
        self._present: list[str] = []
        self._step: Step | None = None
        self._fatal = False
        self._broke: set[str] = set()
        self._flushed = False
        self._inserted: set[str] = set()

    def next(self) -> Step | None:
        """Return the next step; None when no host has anything left, or the batch was stopped (see `stop`)."""
        if self._waiting:
            raise RuntimeError(f"the step is not over on {', '.join(self._waiting)}")
        if self._step is not None:
            self._close_step()
        if self.stop is not None:
            return None
        due: dict[str, list[str]] = {}
        tasks: dict[str, Task] = {}
        for host in self.batch.hosts:
            task = self.batch.current(host)
            if task is not None:
                due.setdefault(task.id, []).append(host)
                tasks[task.id] = task
        if not due:
            return None
        identity = self._seek(due)
        hosts = tuple(due[identity])
        self._present = self.batch.reachable()
        self._waiting = dict.fromkeys(hosts)
        self._step = Step(task=tasks[identity], hosts=hosts, handler=self.batch.cursors[hosts[0]].in_handlers)
        return self._step

    def feed(self, host: str, end: TaskEnd) -> bool:
        """The step's task ended on `host`. True when it failed and a rescue takes the host."""
        if host not in self._waiting:
            raise RuntimeError(f"{host} is not in this step, or has ended already")
        del self._waiting[host]
        if end.include:
            self._insert(end.include)
        if end.effect is Effect.FLUSH:
            self._flushed = True
        if end.verdict is not Verdict.OK:
            self._broke.add(host)
            self._fatal = self._fatal or end.fatal or end.run_once
        rescued = self.batch.end(host, end)
        if end.run_once and end.verdict is Verdict.FAILED:
            self._fail_run_once(host)
        return rescued

    def skip_rest(self) -> tuple[str, ...]:
        """The step's task ran once, on the host that was fed: move the others past it. Return those hosts."""
        rest = tuple(self._waiting)
        self._waiting.clear()
        for host in rest:
            # Ended or failed together with the host that ran it: nothing of the task is left to leave.
            if self._step is not None and self.batch.cursors[host].current is self._step.task:
                self.batch.cursors[host].advance()
        return rest

    # -- the order ------------------------------------------------------------------------------------------------

    def _seek(self, due: dict[str, list[str]]) -> str:
        """Return the first task of the list, from the last step on and around, that is due somewhere."""
        for _ in range(2):
            while self._position < len(self._order):
                identity = self._order[self._position]
                self._position += 1
                if identity in due:
                    return identity
            # A host that came back (clear_host_errors) has tasks left that the others are past.
            self._position = 0
        raise RuntimeError("a host is at a task that the play does not have")

    def _insert(self, nodes: Iterable[Node]) -> None:
        # Hosts that included the same share the nodes: the first of them put the tasks into the list.
        fresh = [task.id for task in tasks_of(nodes) if task.id not in self._inserted]
        at = self._position + len(self._inserted)
        self._order[at:at] = fresh
        self._inserted.update(fresh)

    # -- the end of a step ------------------------------------------------------------------------------------------

    def _close_step(self) -> None:
        if self._flushed:
            self._order[self._position : self._position] = [task.id for task in self.batch.handlers.tasks]
        if self._fatal:
            self._fail_others()
        if self._limit is not None and self._size:
            failed = len(self.batch.failed)
            if failed / self._size * 100.0 > self._limit:
                self._fail_others()
                self.stop = Stop(failed=failed, hosts=self._size)
        self._step = None
        self._fatal = self._flushed = False
        self._broke.clear()
        self._inserted.clear()

    def _fail_others(self) -> None:
        """Fail every host that took part and had not broken by itself; each goes to its rescue or always."""
        for host in self._present:
            if host not in self._broke:
                self.batch.cursors[host].fail()
                self.batch.failed.add(host)
            elif host in self.batch.unreachable:
                # As ansible-core counts it: unreachable and failed.
                self.batch.failed.add(host)

    def _fail_run_once(self, ran: str) -> None:
        for host in self._present:
            if host != ran:
                self.batch.fail(host)
