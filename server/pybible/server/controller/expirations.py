"""expirations: what is held on to with a certificate ends with the certificate. One timer for all."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

# It is looked again after so many seconds at the latest: clocks are set.
_LOOK = 60.0
# Entries of what ended before its certificate stay until there are more of them than of the others, and than this.
_LEFT_OVER = 1000


class Expirations:
    """Calls back when certificates expire. Times in seconds since the epoch."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._numbers = itertools.count()
        self._ends: dict[int, Callable[[], None]] = {}
        self._due: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        # A timer is nobody's: it must not log in the name of whoever came first.
        self._context = contextvars.Context()

    def watch(self, expires: float | None, end: Callable[[], None]) -> int:
        """Call `end` at `expires`, unless `leave` comes before with what this returns. None: what has no end."""
        number = next(self._numbers)
        if expires is not None:
            self._ends[number] = end
            heapq.heappush(self._due, (expires, number))
            self._arm()
        return number

    def leave(self, number: int) -> None:
        """It is over."""
        if self._ends.pop(number, None) is not None and len(self._due) > _LEFT_OVER + 2 * len(self._ends):
            self._due = [entry for entry in self._due if entry[1] in self._ends]
            heapq.heapify(self._due)

    @contextmanager
    def watched(self, expires: float | None, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` at `expires`, unless the block is over by then. None: what has no end."""
        number = self.watch(expires, end)
        try:
            yield
        finally:
            self.leave(number)

    def close(self) -> None:
        """Call nobody any more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        """See to it that `_tick` is called when the first is due, or earlier."""
        while self._due and self._due[0][1] not in self._ends:
            heapq.heappop(self._due)
        if not self._due or (self._timer is not None and self._timer_at <= self._due[0][0]):
            return
        if self._timer is not None:
            self._timer.cancel()
        now = self._now()
        self._timer_at = min(self._due[0][0], now + _LOOK)
        delay = max(0.0, self._timer_at - now)
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick, context=self._context)

    def _tick(self) -> None:
        self._timer = None
        now = self._now()
        while self._due and self._due[0][0] <= now:
            end = self._ends.get(heapq.heappop(self._due)[1])
            if end is None:
                continue
            try:
                end()
            except Exception:
                log.exception("what had expired did not end")
        self._arm()
