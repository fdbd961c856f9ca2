"""recovering: runs that an earlier controller left open: what the store knows of them, and how they end without ctl."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from pybible.server.controller.runs.events import count_events
from pybible.server.controller.store import runs as store
from pybible.server.controller.store.runs import EndedAttempt, OpenAttempt, RunRecord, RunState
from pybible.server.results.recap import Recap
from pybible.v1 import run_pb2

LOST = "the controller ended in the middle of the run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A run as an earlier controller wrote it down.

    `open`: attempts without an end, `ended`: the others, by their unique ids.
    """

    recap: Recap
    events: int
    position: int
    open: dict[str, OpenAttempt]
    ended: dict[str, EndedAttempt]
    # On the session's clock: until when agents that have not come back are waited for.
    expected_until: float
    # When this controller was started, in seconds since the epoch.
    since: float


def read_past(connection: Connection, run_id: str, *, expected_until: float, since: float) -> Past:
    """Return what is stored of a run."""
    recap, events = _counted(connection, run_id)
    return Past(
        recap=recap,
        events=events,
        position=store.last_position(connection, run_id),
        open={item.attempt_id: item for item in store.open_attempts(connection, run_id)},
        ended={item.attempt_id: item for item in store.ended_attempts(connection, run_id)},
        expected_until=expected_until,
        since=since,
    )


def ending(
    run_ids: Collection[str] | None = None, *, state: RunState = RunState.INTERRUPTED, error: str = LOST
) -> Callable[[Connection], list[RunRecord]]:
    """Return the write that ends runs which are still `running`, with the recap of what their events say.

    None: all of them. It returns those that it ended.
    """

    def end(connection: Connection) -> list[RunRecord]:
        ended = store.interrupt(connection, run_ids=run_ids, moment=time.time(), state=state, error=error)
        for record in ended:
            store.save_recap(connection, record.run_id, _counted(connection, record.run_id)[0].hosts)
        return ended

    return end


def _counted(connection: Connection, run_id: str) -> tuple[Recap, int]:
    """Return the recap that the stored events of a run make, and how many they are."""
    recap = Recap()
    next_seq = 1
    while batches := store.batches_of(connection, run_id, from_seq=next_seq):
        for batch in batches:
            count_events(recap, run_pb2.EventBatch.FromString(batch.batch).events)
            next_seq = batch.first_seq + batch.count
    return recap, next_seq - 1
