"""watch: ends what computes for too long in ctl's process: a template without end, a pattern that backtracks for ever.

The process's CPU time is what counts, so that waiting for a lookup costs nothing. A timer of the system interrupts the
main thread once in a while; nothing is asked of the clock when a template is rendered. (CPython looks for signals while
a regular expression is matched, too.)
"""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pybible.wire.errors import TemplateError

RENDER_SECONDS = 10.0
_TICKS = 10


class OutOfTime(TemplateError):
    """What was being computed took too long."""


class Watch:
    """Watches the one thing that the main thread computes. `doing` marks it, None between two of them."""

    __slots__ = ("_interval", "_seen", "_ticks", "doing", "seconds")

    def __init__(self, seconds: float = RENDER_SECONDS) -> None:
        """`seconds` of CPU time; 0: there is no end."""
        self.seconds = seconds
        self._interval = seconds / _TICKS
        self.doing: object | None = None
        self._seen: object | None = None
        self._ticks = 0

    def install(self) -> None:
        """Begin, in the main thread; until the process ends, or `remove`."""
        if self.seconds and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGPROF, self._tick)
            # An interpreter that ends takes its handlers away first, and the signal would kill it.
            atexit.register(self.remove)
            signal.setitimer(signal.ITIMER_PROF, self._interval, self._interval)

    def remove(self) -> None:
        """End."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        # One may be on its way already.
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        atexit.unregister(self.remove)

    @contextmanager
    def over(self) -> Iterator[None]:
        """Watch what is computed inside, unless it is a part of something that is watched."""
        if self.doing is not None:
            yield
            return
        self.doing = object()
        try:
            yield
        finally:
            self.doing = None

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        if self.doing is None or self.doing is not self._seen:
            self._seen = self.doing
            self._ticks = 0
            return
        self._ticks += 1
        # Again at each tick from now on: in a callback of C code an exception may get lost.
        if self._ticks >= _TICKS:
            raise OutOfTime(
                f"this takes more than {self.seconds:g} seconds of computing",
                hint="PYBIBLE_RENDER_LIMIT sets the limit, in seconds.",
            )
