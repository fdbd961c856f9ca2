"""recent: the newest runs of a controller, in memory: lists of them are often asked for, and show none of their hosts.

How many hosts a run of an earlier controller had is asked for once, when it is first shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pybible.server.controller.store.runs import RunRecord

KEPT = 1_000


@dataclass(slots=True)
class ListedRun:
    """A run as lists show it. `hosts`: how many its recap has, None as long as nobody has asked the store."""

    record: RunRecord
    hosts: int | None = None


class RecentRuns:
    """The newest `kept` runs. `complete` says that there were no older ones when it was made."""

    def __init__(self, records: Iterable[RunRecord] = (), *, complete: bool = True, kept: int = KEPT) -> None:
        self._complete = complete
        self._kept = kept
        # The oldest first: ids begin with the time.
        self._runs = {record.run_id: ListedRun(record) for record in sorted(records, key=lambda each: each.run_id)}

    def put(self, record: RunRecord, hosts: int) -> None:
        """Note a run that has begun, or has ended."""
        self._runs[record.run_id] = ListedRun(record, hosts)
        if len(self._runs) > self._kept:
            del self._runs[next(iter(self._runs))]
            self._complete = False

    def change(self, record: RunRecord) -> None:
        """Note how a run is now, if it is one of these."""
        if record.run_id in self._runs:
            self._runs[record.run_id] = ListedRun(record)

    def forget(self, run_id: str) -> None:
        """A run is no more."""
        self._runs.pop(run_id, None)

    def newest(self, limit: int, *, before: str = "") -> list[ListedRun] | None:
        """Return runs, the newest first, older than `before` only. None when the store has to be asked."""
        found = [run for run_id, run in reversed(self._runs.items()) if not before or run_id < before][:limit]
        return found if self._complete or len(found) == limit else None

    def count(self, hosts: Mapping[str, int]) -> None:
        """Note how many hosts runs had."""
        for run_id, number in hosts.items():
            if run_id in self._runs:
                self._runs[run_id].hosts = number
