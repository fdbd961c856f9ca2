"""turns: how runs share the event loop: in one turn of it, one of those that have more to send sends a little.

A run sends what it may at once, up to a slice. What is above that waits for the run's next turn, behind the other runs
that wait: a run that gets a thousand slots together delays the others by a slice, not by all of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

# A dispatch, with its message to the agent, takes about 0.1 ms.
SLICE = 32


class TakesTurns(Protocol):
    """A run, as far as its turn goes."""

    def go_on(self) -> None:
        """Send a slice, and ask for another turn if there is more."""


class Turns:
    """The runs that have more to send. `later` has the loop call something in its next turn."""

    def __init__(self, later: Callable[[Callable[[], None]], object] | None = None) -> None:
        self._later = later
        self._waiting: OrderedDict[TakesTurns, None] = OrderedDict()
        self._called = False

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, run: TakesTurns) -> None:
        """Give `run` a turn, behind those that wait. One that waits already stays where it is."""
        self._waiting.setdefault(run)
        self._call()

    def _call(self) -> None:
        if self._waiting and not self._called:
            self._called = True
            later = self._later or asyncio.get_running_loop().call_soon
            later(self._next)

    def _next(self) -> None:
        self._called = False
        if self._waiting:
            run, _ = self._waiting.popitem(last=False)
            try:
                run.go_on()
            finally:
                self._call()
