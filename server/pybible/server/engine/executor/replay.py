"""replay: what an earlier run told of its hosts, taken by a run that resumes it in the place of running it again.

Each host goes through its tasks in one order. While a host's next task is the next one that it ran then, the result of
then is its result now; the first that is another one ends that, for this host. Pure: no I/O, no asyncio.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.results.events import HostResult, HostStarted, ItemResult, RunEvent, Status, TaskStarted
from pybible.wire.outcomes import Reason
from pybible.wire.values import JsonObject


@dataclass(slots=True, kw_only=True)
class Recorded:
    """A task that a host began. `result` None: it has no end; `items` are those of a loop that have one.

    `path` is FILE:LINE, empty where it is not known.
    """

    task_id: str
    run_id: str = ""
    name: str = ""
    path: str = ""
    items: list[ItemResult] = field(default_factory=list)
    result: HostResult | None = None


def recorded(events: Iterable[RunEvent], *, failed_again: bool = False) -> dict[str, list[Recorded]]:
    """Return what each host did, by what a run told of it.

    What was cancelled has no end, and nothing follows it. `failed_again`: likewise what failed for good.
    """
    tasks: dict[str, TaskStarted] = {}
    found: dict[str, list[Recorded]] = {}
    over: set[str] = set()
    for event in events:
        if isinstance(event, TaskStarted):
            tasks[event.task_id] = event
        elif isinstance(event, HostStarted | ItemResult | HostResult) and event.host not in over:
            records = found.setdefault(event.host, [])
            if isinstance(event, HostStarted):
                records.append(Recorded(task_id=event.task_id))
                continue
            last = records[-1] if records else None
            # A `meta` that does not hold tells a result of its own; it is asked for again.
            if last is None or last.task_id != event.task_id:
                continue
            _note(last, event)
            if isinstance(event, HostResult) and (was_cancelled(event) or (failed_again and is_out(event))):
                _reopen(last)
                over.add(event.host)
    for records in found.values():
        for record in records:
            if record.task_id in tasks:
                record.name, record.path = tasks[record.task_id].name, tasks[record.task_id].path
    return found


def _note(record: Recorded, event: ItemResult | HostResult) -> None:
    if isinstance(event, HostResult):
        record.result = event
        return
    if record.result is not None:
        # The debugger had it run once more.
        record.items.clear()
        record.result = None
    record.items.append(event)


def _reopen(record: Recorded) -> None:
    """Take away the end of a task: it is to be gone on with."""
    record.result = None
    for index, item in enumerate(record.items):
        if item.status in (Status.FAILED, Status.UNREACHABLE) and not item.ignored:
            del record.items[index:]
            return


def was_cancelled(event: HostResult) -> bool:
    """Whether the task ended because its run did."""
    if event.status is not Status.FAILED:
        return False
    results = event.result.get("results") if event.loop else None
    each = [event.result, *(results if isinstance(results, list) else ())]
    return any(isinstance(result, dict) and result.get("reason") == Reason.CANCELLED.value for result in each)


def is_out(event: HostResult) -> bool:
    """Whether the host is out by this result, as far as it is known."""
    return event.status in (Status.FAILED, Status.UNREACHABLE) and not event.ignored and not event.rescued


class Replay:
    """What hosts did before, as it is taken. `lines_count` false: tasks may stand on other lines than then."""

    def __init__(
        self,
        run_id: str,
        hosts: Mapping[str, Iterable[Recorded]],
        *,
        lines_count: bool = True,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.run_id = run_id
        self._left = {host: deque(records) for host, records in hosts.items()}
        self._lines_count = lines_count
        self.warn = warn

    def take(self, host: str, compiled: CompiledTask) -> Recorded | None:
        """Return what the host did at this task, None when it did not come so far."""
        left = self._left.get(host)
        if not left:
            return None
        record = left.popleft()
        if not self._is_same(record, compiled):
            origin = compiled.task.origin
            self.stop(
                host,
                f"its next task was [{record.name}] ({record.path}), "
                f"and is [{compiled.written_name}] ({origin.file}:{origin.line}) now",
            )
            return None
        record.run_id = self.run_id
        return record

    def stop(self, host: str, why: str) -> None:
        """Take nothing more for a host, and say so."""
        left = self._left.pop(host, None)
        if left is not None:
            self.warn(f"{host}: run {self.run_id} can't be followed any further, tasks are run from here on: {why}")

    def _is_same(self, record: Recorded, compiled: CompiledTask) -> bool:
        if not record.path:
            return True
        origin = compiled.task.origin
        file, _colon, line = record.path.rpartition(":")
        if file != origin.file or (self._lines_count and line != str(origin.line)):
            return False
        if record.result is None or compiled.module_is_template:
            return True
        return record.result.action == compiled.action


def is_hidden(result: JsonObject) -> bool:
    """Whether no_log has hidden a result."""
    return "censored" in result


def unfinished(hosts: Mapping[str, Iterable[Recorded]]) -> dict[tuple[str, str, str], list[str]]:
    """Return what was begun and has no end: (task's id, name, path), and the hosts."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for host, records in hosts.items():
        for record in records:
            if record.result is None:
                found.setdefault((record.task_id, record.name, record.path), []).append(host)
    return found


def done(hosts: Mapping[str, Collection[Recorded]]) -> int:
    """Return how many results there are."""
    return sum(record.result is not None for records in hosts.values() for record in records)
