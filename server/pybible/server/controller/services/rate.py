"""rate: how often somebody may do something."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_ADDRESSES = 4096


class RateLimit:
    """A bucket for each address: `burst` at once, then `rate` a second. A refused caller costs more than one."""

    def __init__(
        self, *, rate: float = 100.0, burst: float = 1000.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._now = now
        # Address -> (what is left, when that was counted), the longest unused first.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, cost: float = 1.0) -> bool:
        """Take `cost` from an address's bucket. False, and nothing taken, when there is nothing left in it."""
        now = self._now()
        left, counted = self._buckets.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - counted) * self._rate)
        allowed = left >= 1.0
        self._buckets[address] = (left - cost if allowed else left, now)
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed
