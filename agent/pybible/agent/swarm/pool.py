"""pool: stands in for an agent's workers: it answers at once, and does nothing (Pool)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from pybible.agent.failures import failure
from pybible.agent.workers import Finished, Sink
from pybible.wire.outcomes import Reason
from pybible.wire.tasks import TaskSpec

# What plays look at, whatever the module was.
OK = Finished(
    content=b'{"changed":false,"ping":"pong","rc":0,"stdout":"","stat":{"exists":true,"size":1,"isdir":false}}'
)


class AnsweringPool:
    """Answers every attempt when a slot is free.

    Leaving its block ends it as kill -9 would: nobody hears of what ran.
    """

    def __init__(self, sink: Sink, *, slots: int, may_start: Callable[[], bool]) -> None:
        self.slots = slots
        self._sink = sink
        self._may_start = may_start
        self._queue: deque[str] = deque()
        self._running: dict[str, asyncio.Handle | None] = {}
        self._quiet: asyncio.Event | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._running.values():
            if handle is not None:
                handle.cancel()
        self._queue.clear()
        self._running.clear()

    @property
    def running(self) -> int:
        """How many run now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return len(self._queue)

    def submit(self, attempt_id: str, _spec: TaskSpec) -> None:
        """Answer it when a slot is free."""
        self._queue.append(attempt_id)
        self.resume()

    def cancel(self, attempt_id: str, *, grace: float, reason: Reason = Reason.CANCELLED, msg: str = "") -> bool:
        """End an attempt. False when it is not here (any more)."""
        del grace
        if attempt_id in self._queue:
            self._queue.remove(attempt_id)
        elif attempt_id not in self._running:
            return False
        self.finish(attempt_id, Finished(content=failure(reason, msg or "the task was cancelled"), reason=reason))
        return True

    def cancel_all(self, reason: Reason, msg: str, *, grace: float) -> None:
        """End every attempt."""
        for attempt_id in [*self._queue, *self._running]:
            self.cancel(attempt_id, grace=grace, reason=reason, msg=msg)

    def resume(self) -> None:
        """Begin what waits, as far as slots are free."""
        while self._queue and len(self._running) < self.slots and self._may_start():
            attempt_id = self._queue.popleft()
            self._running[attempt_id] = self.begin(attempt_id)
            self._sink.started(attempt_id)

    async def idle(self) -> None:
        """Wait until nothing runs and nothing waits."""
        if self._running or self._queue:
            self._quiet = asyncio.Event()
            await self._quiet.wait()

    def begin(self, attempt_id: str) -> asyncio.Handle | None:
        """See to it that an attempt is finished, not yet; return what does it, None for nobody."""
        return asyncio.get_running_loop().call_soon(self.finish, attempt_id, OK)

    def finish(self, attempt_id: str, answer: Finished) -> None:
        """End an attempt with that answer."""
        handle = self._running.pop(attempt_id, None)
        if handle is not None:
            handle.cancel()
        self._sink.finished(attempt_id, answer)
        self.resume()
        if self._quiet is not None and not self._running and not self._queue:
            self._quiet.set()
