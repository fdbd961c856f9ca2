"""test_expirations: who is called back when, and that nothing is left of what ended before."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

import pytest

from pybible.server.controller import expirations
from pybible.server.controller.expirations import Expirations

DAY = 86400.0


async def test_what_expires_is_told_in_order_and_what_is_over_is_not() -> None:
    watching, told = Expirations(), list[str]()
    done = asyncio.Event()
    now = time.time()
    with watching.watched(now + DAY, lambda: told.append("tomorrow")), watching.watched(now + 0.04, done.set):
        with watching.watched(now + 0.01, lambda: told.append("over")):
            pass
        with (
            watching.watched(now + 0.03, lambda: told.append("second")),
            watching.watched(now + 0.02, lambda: told.append("first")),
            watching.watched(None, lambda: told.append("never")),
        ):
            await done.wait()
    assert told == ["first", "second"]
    watching.close()


async def test_one_that_breaks_does_not_keep_the_others() -> None:
    watching, done = Expirations(), asyncio.Event()

    def broken() -> None:
        raise RuntimeError("of somebody else")

    with watching.watched(time.time() - 1, broken), watching.watched(time.time(), done.set):
        await done.wait()
    watching.close()


async def test_a_clock_that_is_set_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expirations, "_LOOK", 0.01)
    clock = [0.0]
    watching, done = Expirations(now=lambda: clock[0]), asyncio.Event()
    with watching.watched(DAY, done.set):
        clock[0] = 2 * DAY
        await done.wait()
    watching.close()


async def test_those_that_left_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expirations, "_LEFT_OVER", 10)
    watching, later = Expirations(), time.time() + DAY
    with ExitStack() as staying:
        for _ in range(5):
            staying.enter_context(watching.watched(later, lambda: None))
        for _ in range(1000):
            with watching.watched(later, lambda: None):
                pass
        assert len(watching._due) <= 10 + 2 * 5 + 1
    watching.close()
