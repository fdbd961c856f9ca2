"""rejoining: the way back to a run whose controller went away: the same one, started again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import grpc.aio

from pybible.server.client.connection import Endpoint, Entrance
from pybible.v1 import run_pb2, run_pb2_grpc
from pybible.wire.backoff import Backoff
from pybible.wire.errors import ConnectionFailed

Call = grpc.aio.StreamStreamCall[run_pb2.ExecuteRequest, run_pb2.ExecuteResponse]
# Sends StartRun and returns the answer within so many seconds. ConnectionFailed when there is none.
Begin = Callable[[Call, run_pb2.StartRun, float], Awaitable[run_pb2.RunStarted]]

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 2.0
# A controller that is being started is asked again after at least this.
_SHORTEST_PAUSE = 0.05


class Line:
    """The connection of one run. `stack` owns what it opens; `stub` is the way in that was opened last."""

    def __init__(self, endpoint: Endpoint, start: run_pb2.StartRun, *, stack: AsyncExitStack, begin: Begin) -> None:
        self._endpoint = endpoint
        self._start = start
        self._stack = stack
        self._begin = begin
        self.stub: run_pb2_grpc.RunServiceAsyncStub
        # Called with each way in but the first.
        self.moved: Callable[[Entrance], None] = lambda _entrance: None

    async def open(self, *, seconds: float) -> tuple[Entrance, Call, run_pb2.RunStarted]:
        """Go in and begin the run."""
        return await self._enter(self._start, seconds)

    async def rejoin(self, run_id: str, *, seconds: float) -> tuple[Call, run_pb2.RunStarted]:
        """Come back to the run, over a new connection for every try.

        ConnectionFailed when no controller answers for so long, another PybibleError when it says no.
        """
        message = run_pb2.StartRun()
        message.CopyFrom(self._start)
        message.rejoin_run_id = run_id
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        backoff = Backoff(first=_FIRST_PAUSE, limit=_LONGEST_PAUSE)
        while True:
            try:
                entrance, call, started = await self._enter(message, max(_LONGEST_PAUSE, end - clock()))
            except ConnectionFailed:
                pause = max(_SHORTEST_PAUSE, backoff.next())
                if clock() + pause >= end:
                    raise
                await asyncio.sleep(pause)
            else:
                self.moved(entrance)
                return call, started

    async def _enter(self, message: run_pb2.StartRun, seconds: float) -> tuple[Entrance, Call, run_pb2.RunStarted]:
        async with AsyncExitStack() as attempt:
            entrance = await attempt.enter_async_context(self._endpoint.entered())
            channel = await attempt.enter_async_context(entrance.channel())
            stub = run_pb2_grpc.RunServiceStub(channel)
            call = stub.Execute()
            started = await self._begin(call, message, seconds)
            self.stub = stub
            self._stack.push_async_exit(attempt.pop_all())
        return entrance, call, started
