"""replay: what an earlier run told of its hosts, taken by a run that resumes it in the place of running it again.

Each host goes through its tasks in one order. While a host's next task is the next one that it ran then, the result of
then is its result now; the first that is another one ends that, for this host. Pure: no I/O, no asyncio.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
    # It is from before the run that was to take it over.
    earlier: bool = False


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


def merged(before: Mapping[str, list[Recorded]], after: Mapping[str, list[Recorded]]) -> dict[str, list[Recorded]]:
    """Return what hosts did, of a run that was to take over `before` and told `after`.

    It may have ended while it took over: what it had not come to is still as it was.
    """
    for records in before.values():
        for record in records:
            record.earlier = True
    return {host: _joined(before.get(host, []), after.get(host, [])) for host in {**before, **after}}


def _joined(before: list[Recorded], after: list[Recorded]) -> list[Recorded]:
    joined: list[Recorded] = []
    for index, record in enumerate(after):
        old = before[index] if index < len(before) else None
        if old is None or not _is_one(old, record):
            # Beyond what there was, or it was not followed any further.
            return joined + after[index:]
        further = old.result is not None or len(old.items) > len(record.items)
        joined.append(old if record.result is None and further else record)
    return joined + before[len(after) :]


def _is_one(old: Recorded, record: Recorded) -> bool:
    if not old.path or not record.path or old.path == record.path:
        return True
    return old.name == record.name and old.path.rpartition(":")[0] == record.path.rpartition(":")[0]


def events_of(hosts: Mapping[str, Iterable[Recorded]]) -> Iterator[RunEvent]:
    """Return events that tell what hosts did, for `recorded`."""
    named: set[str] = set()
    for host, records in hosts.items():
        for record in records:
            if record.path and record.task_id not in named:
                named.add(record.task_id)
                yield TaskStarted(task_id=record.task_id, name=record.name, path=record.path)
            yield HostStarted(task_id=record.task_id, host=host)
            yield from record.items
            if record.result is not None:
                yield record.result


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


def unfinished(hosts: Mapping[str, Iterable[Recorded]]) -> list[tuple[Recorded, list[str]]]:
    """Return what was begun and has no end: each task once, with its hosts."""
    found: dict[tuple[bool, str, str], tuple[Recorded, list[str]]] = {}
    for host, records in hosts.items():
        for record in records:
            if record.result is None:
                key = record.earlier, record.task_id, record.path
                found.setdefault(key, (record, []))[1].append(host)
    return list(found.values())


def done(hosts: Mapping[str, Collection[Recorded]]) -> int:
    """Return how many results there are."""
    return sum(record.result is not None for records in hosts.values() for record in records)
