"""test_garbage: what lives long is set aside from the collector, and looked at when nobody waits."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from pybible.server.controller.garbage import keep_pauses_short


class Ring:
    """What only a collector removes."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _nothing_aside() -> Iterator[None]:
    yield
    gc.unfreeze()


async def _rounds(count: int, *, idle: bool, hours: float) -> bool:
    """Say whether a ring that was set aside is gone after so many rounds, by the end of so many hours."""
    ring = Ring()
    gone = weakref.ref(ring)
    clock = 0.0

    def now() -> float:
        return clock

    task = asyncio.create_task(keep_pauses_short(lambda: idle, interval=0.0, now=now))
    await asyncio.sleep(0)
    assert gc.get_freeze_count() > 0
    del ring
    gc.collect()
    assert gone() is not None
    clock = hours * 3600
    for _ in range(count):
        await asyncio.sleep(0)
    found = gone() is None
    task.cancel()
    await asyncio.wait([task])
    assert gc.get_freeze_count() == 0
    return found


async def test_what_was_set_aside_is_looked_at_when_no_run_is_open() -> None:
    assert await _rounds(3, idle=True, hours=0.2)


async def test_it_is_not_while_a_run_goes_on() -> None:
    assert not await _rounds(3, idle=False, hours=0.2)


async def test_but_it_is_after_an_hour() -> None:
    assert await _rounds(3, idle=False, hours=1.1)
