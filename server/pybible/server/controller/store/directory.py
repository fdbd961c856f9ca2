"""directory: the enrolled agents, in memory: lists of them are asked for often, and would read every row each time.

It is loaded when the store is opened. Whoever changes a row that it shows says so here, once the change is durable.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from pybible.server.controller.store.agents import AgentRecord


class AgentDirectory:
    """All agents, by their names."""

    def __init__(self, records: Iterable[AgentRecord] = ()) -> None:
        self._records = {record.agent_id: record for record in records}
        # In the order of their names, made again when a name has come or gone.
        self._sorted: list[str] | None = None

    def __len__(self) -> int:
        return len(self._records)

    def get(self, agent_id: str) -> AgentRecord | None:
        """Return an agent by its id."""
        return self._records.get(agent_id)

    def after(self, name: str) -> Iterable[AgentRecord]:
        """Return those whose names come after `name`, in order; all of them after an empty one."""
        if self._sorted is None:
            self._sorted = sorted(self._records, key=lambda agent_id: self._records[agent_id].name)
        start = bisect_right(self._sorted, name, key=lambda agent_id: self._records[agent_id].name)
        return map(self._records.__getitem__, islice(self._sorted, start, None))

    def put(self, record: AgentRecord) -> None:
        """Note an agent that was enrolled, or that is not any more as it was."""
        former = self._records.get(record.agent_id)
        if former is None or former.name != record.name:
            self._sorted = None
        self._records[record.agent_id] = record

    def seen(self, agent_id: str, moment: float) -> None:
        """Note when an agent was last attached."""
        record = self._records.get(agent_id)
        if record is not None:
            self._records[agent_id] = replace(record, last_seen=moment)

    def forget(self, agent_id: str) -> None:
        """Note that an agent was removed."""
        if self._records.pop(agent_id, None) is not None:
            self._sorted = None
