"""opener: opens runs at a controller."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import grpc
import grpc.aio

from pybible.server.client.connection import Endpoint
from pybible.server.client.contents import Contents
from pybible.server.client.failures import call_failure
from pybible.server.client.fleet_pages import next_page
from pybible.server.client.local_worker import LocalWorker
from pybible.server.client.rejoining import Call, Line
from pybible.server.client.run_dispatcher import RunDispatcher, Sign, WayBack
from pybible.server.engine.dispatcher import RunRequest
from pybible.v1 import run_pb2
from pybible.wire.errors import ConnectionFailed, ProtocolError

_CONNECT_SECONDS = 20.0
_CALL_SECONDS = 30.0
_CANCEL_SECONDS = 5.0
# Each is a process; more of them than this only get into each other's way.
_LOCAL_SLOTS = 64


class ControllerOpener:
    """Opens runs at one controller, one after the other. `current` is the run that is open."""

    def __init__(
        self, endpoint: Endpoint, *, sign: Sign | None = None, warn: Callable[[str], None] = lambda _text: None
    ) -> None:
        self._endpoint = endpoint
        self._sign = sign
        self._warn = warn
        self.current: RunDispatcher | None = None

    def open(self, request: RunRequest) -> AbstractAsyncContextManager[RunDispatcher]:
        """Connect, announce the run, and close it whatever happens."""
        return self._open(request)

    async def fleet(self) -> Mapping[str, Mapping[str, str]]:
        """Return the names of the enrolled agents, each with its labels."""
        # A run with an inventory does without.
        from pybible.v1 import fleet_pb2, fleet_pb2_grpc

        async with self._endpoint.entered() as entrance, entrance.channel() as channel:
            stub = fleet_pb2_grpc.FleetServiceStub(channel)
            found: dict[str, Mapping[str, str]] = {}
            after = ""
            while True:
                try:
                    answer = await stub.ListAgents(fleet_pb2.ListAgentsRequest(after=after), timeout=_CALL_SECONDS)
                except grpc.RpcError as error:
                    raise call_failure(error, self._endpoint.target) from error
                if not isinstance(answer, fleet_pb2.ListAgentsResponse):
                    raise ProtocolError(f"the controller at {self._endpoint.target} sends what can't be read")
                found.update((agent.name, dict(agent.labels)) for agent in answer.agents)
                after = next_page(answer, after)
                if not after:
                    return found

    @contextlib.asynccontextmanager
    async def _open(self, request: RunRequest) -> AsyncIterator[RunDispatcher]:
        async with contextlib.AsyncExitStack() as stack:
            line = Line(self._endpoint, _start_message(request), stack=stack, begin=self._start)
            entrance, call, started = await line.open(seconds=_CONNECT_SECONDS)
            contents = Contents(
                entrance.channel,
                target=self._endpoint.target,
                inline_bytes=started.inline_attachment_bytes,
            )
            line.moved = lambda elsewhere: contents.move(elsewhere.channel)
            failure: Exception | None = None
            async with asyncio.TaskGroup() as group:
                dispatcher = RunDispatcher(
                    call,
                    started,
                    contents=contents,
                    local=LocalWorker(group, slots=min(request.forks, _LOCAL_SLOTS)),
                    group=group,
                    target=self._endpoint.target,
                    sign=self._sign,
                    way_back=WayBack(
                        rejoin=lambda run_id, seconds: line.rejoin(run_id, seconds=seconds), warn=self._warn
                    ),
                )
                self.current = dispatcher
                try:
                    yield dispatcher
                except asyncio.CancelledError:
                    await self._cancel(line, dispatcher)
                    raise
                except Exception as error:
                    # Out of the group as it is: the group would wrap it.
                    failure = error
                finally:
                    self.current = None
                    await dispatcher.close()
                    await contents.close()
            if failure is not None:
                raise failure

    async def _start(self, call: Call, start: run_pb2.StartRun, seconds: float) -> run_pb2.RunStarted:
        target = self._endpoint.target
        try:
            async with asyncio.timeout(seconds):
                await call.write(run_pb2.ExecuteRequest(start=start))
                response = await call.read()
        except TimeoutError as error:
            call.cancel()
            raise ConnectionFailed(f"the controller at {target} does not answer") from error
        except grpc.RpcError as error:
            raise call_failure(error, target) from error
        except asyncio.InvalidStateError as error:
            # The call ended before the request was out; its status says why.
            raise await _status_failure(call, target) from error
        if response is None:
            # What came is no message: the call itself is still there, and has no status.
            call.cancel()
            raise ProtocolError(f"the controller at {target} sends what can't be read")
        if not isinstance(response, run_pb2.ExecuteResponse):
            raise await _status_failure(call, target)
        if not response.HasField("started"):
            call.cancel()
            raise ProtocolError(f"the controller at {target} does not begin with the start of the run")
        return response.started

    async def _cancel(self, line: Line, dispatcher: RunDispatcher) -> None:
        """Tell the controller that the operator ended the run. Best effort: without it the run is interrupted."""
        if dispatcher.is_away:
            return
        with contextlib.suppress(grpc.RpcError, TimeoutError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                await dispatcher.flush()
                await line.stub.CancelRun(run_pb2.CancelRunRequest(run_id=dispatcher.run_id))


def _start_message(request: RunRequest) -> run_pb2.StartRun:
    message = run_pb2.StartRun(
        name=request.name,
        forks=request.forks,
        check=request.check,
        agents=request.agents,
        lost_is_unreachable=request.lost_is_unreachable,
        verbosity=request.verbosity,
        live_output=request.live_output,
    )
    if request.disconnect_grace is not None:
        message.disconnect_grace.FromTimedelta(timedelta(seconds=request.disconnect_grace))
    return message


async def _status_failure(call: Call, target: str) -> Exception:
    code, details = await call.code(), await call.details()
    error = grpc.aio.AioRpcError(
        code, await call.initial_metadata(), await call.trailing_metadata(), details=details or "the call ended"
    )
    return call_failure(error, target)
