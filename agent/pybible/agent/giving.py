"""giving: a file that a module hands over, on its way from the worker to where the engine finds it, part by part."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from pybible.wire.frames import Frame
from pybible.wire.tasks import Attachment

# So much waits here; then the worker is not read any more, and its module waits.
_WAITING_BYTES = 2 * 1024 * 1024

Take = Callable[[Attachment, AsyncIterator[bytes]], Awaitable[None]]


class Giving:
    """What one task hands over: one file. `take` brings it to its place; `hold` stops and resumes the worker's pipe.

    `failures` are what `take` raises when it can't.
    """

    def __init__(
        self, group: asyncio.TaskGroup, take: Take, *, hold: Callable[[bool], None], failures: type[Exception]
    ) -> None:
        self._group = group
        self._take = take
        self._hold = hold
        self._failures = failures
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._held = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._problem = ""
        # The rest is not wanted: it is there already, or nothing can be done with it.
        self._enough = False

    def feed(self, frame: Frame) -> None:
        """Take the next part; the empty one is the last."""
        if self._task is None:
            attachment = Attachment(sha256=str(frame.header["sha256"]), size=int(frame.header["size"]))
            if attachment.size < 0:
                raise ValueError("a size below nothing")
            self._task = self._group.create_task(self._bring(attachment))
        if self._enough:
            return
        self._parts.append(frame.body)
        self._waiting += len(frame.body)
        if self._waiting > _WAITING_BYTES and not self._held:
            self._held = True
            self._hold(True)
        self._wake.set()

    def cancel(self) -> None:
        """The worker is gone: nothing more comes."""
        if self._task is not None:
            self._task.cancel()

    async def ended(self) -> str:
        """Wait until all is at its place; return why it is not, empty when it is."""
        if self._task is not None:
            await asyncio.wait((self._task,))
            if self._task.cancelled():
                return "the module ended in the middle of the content"
        return self._problem

    async def _bring(self, attachment: Attachment) -> None:
        try:
            await self._take(attachment, self._read())
        except self._failures as error:
            self._problem = str(error)
        finally:
            self._enough = True
            self._parts.clear()
            self._let_go()

    async def _read(self) -> AsyncIterator[bytes]:
        while True:
            while not self._parts:
                self._let_go()
                self._wake.clear()
                await self._wake.wait()
            part = self._parts.popleft()
            self._waiting -= len(part)
            if not part:
                return
            yield part

    def _let_go(self) -> None:
        if self._held:
            self._held = False
            self._hold(False)
