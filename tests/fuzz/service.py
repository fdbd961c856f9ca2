"""service: something asynchronous in a thread of its own, for examples that hypothesis makes one after the other."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Generic, TypeVar

from tests.fuzz.hunt import Finding

_T = TypeVar("_T")
_R = TypeVar("_R")
_START_SECONDS = 60.0


class Served(Generic[_T]):
    """What runs in the other thread. `call` has a coroutine run there."""

    def __init__(self, value: _T, loop: asyncio.AbstractEventLoop) -> None:
        self.value = value
        self._loop = loop

    def call(self, coroutine: Coroutine[object, object, _R], *, seconds: float = 30.0) -> _R:
        """Return what it returns. A Finding when it takes longer."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(seconds)
        except concurrent.futures.TimeoutError as error:
            if future.done():
                raise Finding(f"an answer did not come in time: {error!r}") from error
            future.cancel()
            raise Finding(f"no end within {seconds:g} s") from error


@contextmanager
def served(make: Callable[[], AbstractAsyncContextManager[_T]]) -> Iterator[Served[_T]]:
    """Have what `make` returns entered in another thread, and left at the end of the block."""
    ready: concurrent.futures.Future[tuple[_T, asyncio.AbstractEventLoop, asyncio.Event]] = concurrent.futures.Future()

    async def live() -> None:
        stop = asyncio.Event()
        async with make() as value:
            ready.set_result((value, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run, name="fuzzed")
    thread.start()
    value, loop, stop = ready.result(_START_SECONDS)
    try:
        yield Served(value, loop)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(_START_SECONDS)
