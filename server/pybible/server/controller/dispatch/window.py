"""window: at most `forks` attempts of a run out at once, first come first served. Pure: no clock, no I/O.

An attempt is submitted, granted a slot, and released. Attempts of one task may have a bound of their own (throttle);
those that it holds back let others pass. The window is always full while an attempt that may go out waits.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Lane:
    """The attempts of one throttled task. The throttle is that of the task's first attempt."""

    throttle: int
    # Submitted and not yet released or cancelled.
    members: int = 0
    out: int = 0
    # Held back by the throttle: a heap, first come first.
    held: list[_Entry] = field(default_factory=list)

    def promised(self) -> int:
        """Return how many more may be out."""
        return self.throttle - self.out


@dataclass(slots=True)
class _Entry:
    number: int
    id: str
    task_id: str
    lane: _Lane | None
    out: bool = False
    deadline: float | None = None

    def __lt__(self, other: _Entry) -> bool:
        return self.number < other.number


class Window:
    """The slots of one run. Ids are the caller's; each may be in the window once at a time."""

    def __init__(self, *, forks: int) -> None:
        if forks < 1:
            raise ValueError("a window needs at least one slot")
        self.forks = forks
        self._entries: dict[str, _Entry] = {}
        self._out = 0
        self._number = 0
        self._ready: deque[_Entry] = deque()
        # Those that a throttle let go again. They came before everything in _ready.
        self._freed: list[_Entry] = []
        self._lanes: dict[str, _Lane] = {}
        self._deadlines: list[tuple[float, int, str]] = []

    @property
    def out(self) -> int:
        """How many attempts have a slot."""
        return self._out

    @property
    def waiting(self) -> int:
        """How many attempts wait for one."""
        return len(self._entries) - self._out

    def __contains__(self, attempt_id: str) -> bool:
        return attempt_id in self._entries

    def is_out(self, attempt_id: str) -> bool:
        """Whether the attempt has a slot."""
        entry = self._entries.get(attempt_id)
        return entry is not None and entry.out

    def ids(self) -> tuple[str, ...]:
        """Return every attempt in the window, in the order in which they came."""
        return tuple(self._entries)

    def submit(self, attempt_id: str, *, task_id: str = "", throttle: int = 0) -> None:
        """Put an attempt at the end of the queue. ValueError when it is there already."""
        if attempt_id in self._entries:
            raise ValueError(f"attempt {attempt_id!r} is in the window already")
        lane = None
        if throttle or self._lanes:
            lane = self._lanes.get(task_id)
            if lane is None and throttle:
                lane = self._lanes[task_id] = _Lane(throttle)
            if lane is not None:
                lane.members += 1
        self._number += 1
        entry = self._entries[attempt_id] = _Entry(self._number, attempt_id, task_id, lane)
        self._ready.append(entry)

    def grant(self, most: int | None = None) -> list[str]:
        """Give a slot to as many as may have one, to `most` at the most, and return them in order."""
        granted: list[str] = []
        while self._out < self.forks and (most is None or len(granted) < most):
            entry = self._next()
            if entry is None:
                break
            entry.out = True
            self._out += 1
            if entry.lane is not None:
                entry.lane.out += 1
            granted.append(entry.id)
        return granted

    def release(self, attempt_id: str) -> bool:
        """Take the slot back. False for an attempt that has none."""
        entry = self._entries.get(attempt_id)
        if entry is None or not entry.out:
            return False
        del self._entries[attempt_id]
        self._out -= 1
        if entry.lane is not None:
            entry.lane.out -= 1
            self._leave(entry.lane, entry.task_id)
        return True

    def cancel(self, attempt_ids: Iterable[str] | None = None) -> list[str]:
        """Take out what waits (of those named; of all when None) and return it, in order. What is out stays out."""
        entries = self._entries
        named = list(entries) if attempt_ids is None else [name for name in attempt_ids if name in entries]
        removed: list[str] = []
        for name in named:
            entry = entries.get(name)
            if entry is None or entry.out:
                continue
            # It stays in its queue, as one that is no longer known: _next passes over it.
            del entries[name]
            removed.append(name)
            if entry.lane is not None:
                self._leave(entry.lane, entry.task_id)
        return removed

    def set_deadline(self, attempt_id: str, when: float) -> None:
        """Say until when an attempt that is out may keep its slot. A later call replaces the earlier."""
        entry = self._entries.get(attempt_id)
        if entry is not None and entry.out:
            entry.deadline = when
            heapq.heappush(self._deadlines, (when, entry.number, attempt_id))

    def next_deadline(self) -> float | None:
        """Return the earliest deadline of all that is out."""
        while self._deadlines and self._deadline_is_stale(self._deadlines[0]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def overdue(self, now: float) -> list[str]:
        """Return what is out past its deadline, earliest first. Each is named once; whoever asks releases it."""
        found: list[str] = []
        while (when := self.next_deadline()) is not None and when <= now:
            attempt_id = heapq.heappop(self._deadlines)[2]
            self._entries[attempt_id].deadline = None
            found.append(attempt_id)
        return found

    def validate(self) -> None:
        """Raise AssertionError when the counts contradict each other."""
        out = [entry for entry in self._entries.values() if entry.out]
        if len(out) != self._out or self._out > self.forks:
            raise AssertionError(f"{len(out)} attempts are out, {self._out} counted, {self.forks} allowed")
        for task_id, lane in self._lanes.items():
            mine = [entry for entry in self._entries.values() if entry.lane is lane]
            taken = sum(entry.out for entry in mine)
            if len(mine) != lane.members or taken != lane.out or taken > lane.throttle or not mine:
                raise AssertionError(f"task {task_id!r}: {taken} of {len(mine)} attempts out, counted {lane}")
        queued = [*self._freed, *self._ready, *(entry for lane in self._lanes.values() for entry in lane.held)]
        known = [entry.id for entry in queued if self._entries.get(entry.id) is entry]
        if sorted(known) != sorted(entry.id for entry in self._entries.values() if not entry.out):
            raise AssertionError("an attempt is in no queue, or in two")

    def _next(self) -> _Entry | None:
        """Take the first entry that may go out from its queue."""
        while self._freed or self._ready:
            entry = heapq.heappop(self._freed) if self._freed else self._ready.popleft()
            if self._entries.get(entry.id) is not entry:
                continue
            if entry.lane is not None and entry.lane.promised() <= 0:
                heapq.heappush(entry.lane.held, entry)
                continue
            return entry
        return None

    def _leave(self, lane: _Lane, task_id: str) -> None:
        """One attempt of a lane is gone: let the next of those that the throttle held back go."""
        lane.members -= 1
        if not lane.members:
            del self._lanes[task_id]
            return
        while lane.held and lane.promised() > 0:
            entry = heapq.heappop(lane.held)
            if self._entries.get(entry.id) is entry:
                heapq.heappush(self._freed, entry)
                return

    def _deadline_is_stale(self, deadline: tuple[float, int, str]) -> bool:
        when, number, attempt_id = deadline
        entry = self._entries.get(attempt_id)
        return entry is None or entry.number != number or entry.deadline != when
