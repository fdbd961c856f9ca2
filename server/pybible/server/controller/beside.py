"""beside: work that goes on beside a block and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def beside(work: Coroutine[object, object, None], *, name: str) -> AsyncIterator[None]:
    """Run `work` while the block lasts, and cancel it then. An error of the block comes out as it is."""
    failure: Exception | asyncio.CancelledError | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work, name=name)
        try:
            yield
        except (Exception, asyncio.CancelledError) as error:
            # Past the group, which would wrap it.
            failure = error
        finally:
            task.cancel()
    if failure is not None:
        raise failure
