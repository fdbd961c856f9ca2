"""garbage: keeps the collector's pauses short in a process that holds much for long.

A collection of the oldest generation looks at every object: with a thousand agents that took 150 ms, in the middle of
whatever went on. What is alive is set aside every few seconds, after a look at what came since the last time: that is
all that a collection looks at. What was set aside is looked at when no run is open, or after an hour.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

_ASIDE_SECONDS = 10.0
_IDLE_SECONDS = 600.0
_LONGEST_SECONDS = 3600.0


async def keep_pauses_short(
    is_idle: Callable[[], bool], *, interval: float = _ASIDE_SECONDS, now: Callable[[], float] = time.monotonic
) -> None:
    """Do so until cancelled, for the whole process. `is_idle`: a pause delays nobody now."""
    looked = now()
    try:
        while True:
            gc.collect()
            gc.freeze()
            await asyncio.sleep(interval)
            since = now() - looked
            if since >= _LONGEST_SECONDS or (since >= _IDLE_SECONDS and is_idle()):
                gc.unfreeze()
                gc.collect()
                looked = now()
    finally:
        gc.unfreeze()
