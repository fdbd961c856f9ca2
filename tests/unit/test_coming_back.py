"""test_coming_back: what a ctl says to the controller that comes after the one that it lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import grpc
import grpc.aio
import pytest

from pybible.server.client.contents import Contents
from pybible.server.client.local_worker import LocalWorker
from pybible.server.client.run_dispatcher import Call, RunDispatcher, WayBack
from pybible.server.engine.dispatcher import Target
from pybible.v1 import run_pb2
from pybible.wire.tasks import TaskSpec

PING = TaskSpec(module="ping", args=b"{}")
SECONDS = 10.0


@dataclass(slots=True)
class FakeCall:
    """One call of Execute, as ctl has it."""

    said: list[run_pb2.ExecuteRequest] = field(default_factory=list)
    news: asyncio.Queue[run_pb2.ExecuteResponse | None] = field(default_factory=asyncio.Queue)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def write(self, request: run_pb2.ExecuteRequest) -> None:
        """Take a request."""
        async with self.changed:
            self.said.append(request)
            self.changed.notify_all()

    async def read(self) -> run_pb2.ExecuteResponse:
        """Give what the controller says; None: it was killed."""
        response = await self.news.get()
        if response is None:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, details="Connection reset")
        return response

    def cancel(self) -> None:
        """End it."""

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until what was said is so."""
        async with asyncio.timeout(SECONDS), self.changed:
            await self.changed.wait_for(holds)

    @property
    def attempts(self) -> dict[str, run_pb2.Attempt]:
        """All that were named."""
        return {each.host: each for request in self.said for each in request.attempts.attempts}

    @property
    def cancelled(self) -> list[str]:
        """All that are to end."""
        return [name for request in self.said for name in request.cancel.attempt_ids]


@asynccontextmanager
async def run(first: FakeCall, second: FakeCall) -> AsyncIterator[RunDispatcher]:
    async def rejoin(run_id: str, _seconds: float) -> tuple[Call, run_pb2.RunStarted]:
        return cast("Call", second), run_pb2.RunStarted(run_id=run_id)

    started = run_pb2.RunStarted(run_id="r")
    started.recovery_window.FromSeconds(60)
    async with asyncio.TaskGroup() as group:
        dispatcher = RunDispatcher(
            cast("Call", first),
            started,
            contents=cast("Contents", None),
            local=LocalWorker(group, slots=1),
            group=group,
            target="a controller",
            way_back=WayBack(rejoin=rejoin, warn=lambda _text: None),
        )
        try:
            yield dispatcher
        finally:
            await dispatcher.close()


@pytest.mark.parametrize("told", [False, True], ids=["not ended", "ended"])
async def test_what_it_gave_up_ends_in_the_history_of_the_next_controller(told: bool) -> None:
    first, second = FakeCall(), FakeCall()
    async with run(first, second) as dispatcher:
        tasks = [
            asyncio.ensure_future(dispatcher.run(Target(host=host, agent=host), PING, task_id="t"))
            for host in ("h1", "h2")
        ]
        await first.until(lambda: len(first.attempts) == 2)
        tasks[0].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[0]
        await first.until(lambda: first.cancelled == ["r.1"])
        if told:
            ended = run_pb2.AttemptEnded(inline=b"{}", reason="cancelled")
            update = run_pb2.AttemptUpdate(attempt_id="r.1", ended=ended)
            first.news.put_nowait(run_pb2.ExecuteResponse(updates=run_pb2.UpdateBatch(updates=[update])))
        first.news.put_nowait(None)
        await second.until(lambda: len(second.attempts) == 2 and (told or bool(second.cancelled)))
        tasks[1].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[1]
        again = second.attempts
        if told:
            assert (again["h1"].known.reason, again["h1"].known.failed, second.cancelled) == ("cancelled", True, [])
        else:
            assert (again["h1"].again, second.cancelled) == (True, ["r.1"])
        assert (again["h2"].again, again["h2"].HasField("known")) == (True, False)
