"""events: the events of one run: numbered, counted, stored, and passed to whoever watches."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pybible.server.controller.runs.history import History
from pybible.server.controller.store.runs import StoredBatch
from pybible.server.results.events import Included, RunEvent, decode_event
from pybible.server.results.recap import Recap
from pybible.v1 import run_pb2
from pybible.wire.logs import fields

log = logging.getLogger(__name__)

# How many batches may wait for one watcher. One that falls so far behind is sent away.
WATCHER_BATCHES = 1_000
WATCHERS = 100

# What a recap counts nothing of; the type comes first in every event that the engine writes.
_UNCOUNTED = tuple(
    b'{"type":"%s"' % kind.type.encode()
    for kind in RunEvent.__args__
    if kind.type not in {Included.type, "host_result"}
)


class TooSlow(Exception):
    """A watcher fell too far behind."""


@dataclass(frozen=True, slots=True)
class SeenBatch:
    """Events that came together, the first one's number, and when. The number 0: it is live only, and not stored."""

    first_seq: int
    time: float
    events: Sequence[bytes]


class Watcher:
    """One who follows a run. Filled by the log, emptied by the call."""

    def __init__(self, *, bound: int = WATCHER_BATCHES) -> None:
        self._bound = bound
        self._batches: deque[SeenBatch] = deque()
        self._wake = asyncio.Event()
        self._ended = False
        self.dropped = False

    def __len__(self) -> int:
        return len(self._batches)

    def put(self, batch: SeenBatch) -> None:
        """Add a batch, or drop the watcher when too many wait."""
        if len(self._batches) >= self._bound:
            self.dropped = True
            self._batches.clear()
        if not self.dropped:
            self._batches.append(batch)
        self._wake.set()

    def put_live(self, batch: SeenBatch) -> None:
        """Add what nobody has to see, unless much waits already."""
        if len(self._batches) < self._bound // 2 and not self.dropped:
            self._batches.append(batch)
            self._wake.set()

    def end(self) -> None:
        """No more batches will come."""
        self._ended = True
        self._wake.set()

    async def next(self) -> SeenBatch | None:
        """Wait for the next batch; None at the end of the run. TooSlow when this watcher was dropped."""
        while True:
            if self.dropped:
                raise TooSlow
            if self._batches:
                return self._batches.popleft()
            if self._ended:
                return None
            self._wake.clear()
            await self._wake.wait()


class EventLog:
    """The events of one run, and its recap."""

    def __init__(
        self,
        run_id: str,
        history: History,
        *,
        recap: Recap | None = None,
        events: int = 0,
        stored: Callable[[int], None] | None = None,
    ) -> None:
        """`events`: how many are stored already, and `recap` what they make. `stored` is told how many are durable."""
        self.recap = recap if recap is not None else Recap()
        self._run_id = run_id
        self._history = history
        self._next_seq = events + 1
        self._stored = stored
        self._watchers: set[Watcher] = set()

    def append(self, batch: run_pb2.EventBatch, *, moment: float) -> None:
        """Take events from the engine."""
        count = len(batch.events)
        if not count:
            return
        seen = SeenBatch(self._next_seq, moment, batch.events)
        self._next_seq += count
        count_events(self.recap, batch.events)
        self._history.events(
            StoredBatch(
                run_id=self._run_id,
                first_seq=seen.first_seq,
                count=count,
                time=moment,
                batch=batch.SerializeToString(),
            ),
            stored=self._stored,
        )
        for watcher in list(self._watchers):
            watcher.put(seen)
            if watcher.dropped:
                self._watchers.discard(watcher)

    def waiting(self) -> list[int]:
        """Return how many batches wait for each watcher."""
        return [len(watcher) for watcher in self._watchers]

    @property
    def is_watched(self) -> bool:
        """Whether anybody follows the run."""
        return bool(self._watchers)

    def live(self, event: bytes, *, moment: float) -> None:
        """Show watchers what is not stored."""
        for watcher in self._watchers:
            watcher.put_live(SeenBatch(0, moment, (event,)))

    def watch(self) -> Watcher | None:
        """Return a watcher that gets everything from now on, None when there are too many."""
        if len(self._watchers) >= WATCHERS:
            return None
        watcher = Watcher()
        self._watchers.add(watcher)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """Forget a watcher."""
        self._watchers.discard(watcher)

    def end(self) -> None:
        """The run is over."""
        for watcher in self._watchers:
            watcher.end()
        self._watchers.clear()


def count_events(recap: Recap, encoded: Iterable[bytes]) -> None:
    """Add to a recap what these events say. One that can't be read counts nothing, and is logged."""
    events = []
    for event in encoded:
        if event.startswith(_UNCOUNTED):
            continue
        try:
            events.append(decode_event(event))
        except ValueError as error:
            log.warning("an event can't be read", extra=fields(error=str(error)))
    recap.count(events)
