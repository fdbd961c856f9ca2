"""lag: how late the event loop is."""

from __future__ import annotations

import asyncio

from pybible.server.controller.counts import SHORT_SECONDS, Histogram

_INTERVAL = 0.5


class LoopLag:
    """Asks the loop for a call again and again, and counts how much later than asked for it comes."""

    def __init__(self) -> None:
        self.seen = Histogram(SHORT_SECONDS)
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin."""
        self._due = self._loop.time() + _INTERVAL
        self._timer = self._loop.call_at(self._due, self._called)

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _called(self) -> None:
        self.seen.observe(max(0.0, self._loop.time() - self._due))
        self.start()
