"""execution: the Execute call of one run: its only reader and its only writer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import TypeAlias

import grpc
import grpc.aio

from pybible.server.controller.requests import readable
from pybible.server.controller.rights import Rights
from pybible.server.controller.runs.history import StoreUnwritable
from pybible.server.controller.runs.registry import NoSuchRun, RunOver, RunRegistry, RunView, StartRequest
from pybible.server.controller.runs.run import STATES, Run, recap_lines
from pybible.server.controller.sessions.session import CALL_ENDED
from pybible.server.controller.store.runs import RunState
from pybible.server.results.audit import Actor
from pybible.v1 import run_pb2
from pybible.wire import faults, logs
from pybible.wire.channel import INLINE_ATTACHMENT_BYTES
from pybible.wire.convert import seconds_of
from pybible.wire.errors import AccessDenied, ProtocolError, PybibleError

RunCall: TypeAlias = "grpc.aio.ServicerContext[run_pb2.ExecuteRequest, run_pb2.ExecuteResponse]"

_START_SECONDS = 30.0
_AGENTS = 100_000
# While so many attempts are out, news is gathered for a moment after each message: a message for every result cost the
# controller 15 % more CPU for a host-task, and was no quicker.
_MANY = 8
_GATHER_SECONDS = 0.001
# So many attempts of a message are taken in one turn of the loop: a thousand at once would keep other runs waiting.
_TAKEN = 64
_CODES: Mapping[type[PybibleError], grpc.StatusCode] = MappingProxyType(
    {
        ProtocolError: grpc.StatusCode.INVALID_ARGUMENT,
        NoSuchRun: grpc.StatusCode.NOT_FOUND,
        StoreUnwritable: grpc.StatusCode.FAILED_PRECONDITION,
        AccessDenied: grpc.StatusCode.PERMISSION_DENIED,
    }
)
# How runs end whose ctl says so.
_CONCLUDED = frozenset({RunState.FINISHED, RunState.FAILED})


def _received(message: object) -> run_pb2.ExecuteRequest | None:
    """Return what a read gave, None for the end of the stream. ProtocolError when it was no message."""
    readable(message)
    return message if isinstance(message, run_pb2.ExecuteRequest) else None


async def execute(
    call: RunCall,
    registry: RunRegistry,
    *,
    rights: Rights,
    actor: Actor,
    still_allowed: Callable[[], Awaitable[object]],
) -> None:
    """Serve one run from StartRun to RunFinished. `still_allowed` aborts the call of whoever was shut out meanwhile."""
    try:
        start = await _start(call)
        await still_allowed()
        run = await _opened(start, registry, _request(start, rights, actor))
    except RunOver as over:
        if over.view is not None and over.view.record.state in _CONCLUDED:
            # ctl ended it, and only has not heard how.
            await _conclude(call, over.view)
            return
        await call.abort(grpc.StatusCode.FAILED_PRECONDITION, str(over))
    except PybibleError as error:
        await call.abort(_CODES.get(type(error), grpc.StatusCode.UNAVAILABLE), str(error))
    logs.run_id.set(run.run_id)
    started = run_pb2.RunStarted(
        run_id=run.run_id,
        present=registry.present(start.agents),
        inline_attachment_bytes=INLINE_ATTACHMENT_BYTES,
    )
    started.disconnect_grace.FromTimedelta(timedelta(seconds=run.terms.disconnect_grace))
    if run.can_be_rejoined:
        started.recovery_window.FromTimedelta(timedelta(seconds=registry.settings.recovery_window))
    if run.past is not None:
        started.events_stored = run.past.events
    stream = _RunStream(call, run)
    refused: StoreUnwritable | None = None
    try:
        # A run that ctl was told of is in the store, whatever becomes of this process.
        await registry.flush()
        run.outgoing.say(run_pb2.ExecuteResponse(started=started))
        await stream.serve()
    except StoreUnwritable as error:
        refused = error
    finally:
        run.ctl_gone()
    if refused is not None:
        await call.abort(_CODES[StoreUnwritable], str(refused))
    if stream.error is not None:
        await call.abort(grpc.StatusCode.INVALID_ARGUMENT, str(stream.error))


async def _opened(start: run_pb2.StartRun, registry: RunRegistry, request: StartRequest) -> Run:
    if start.rejoin_run_id:
        return await registry.rejoin(start.rejoin_run_id, request)
    return registry.open(request)


async def _conclude(call: RunCall, view: RunView) -> None:
    started = run_pb2.RunStarted(run_id=view.record.run_id, inline_attachment_bytes=INLINE_ATTACHMENT_BYTES)
    finished = run_pb2.RunFinished(state=STATES[view.record.state], recap=recap_lines(view.recap))
    await call.write(run_pb2.ExecuteResponse(started=started))
    await call.write(run_pb2.ExecuteResponse(finished=finished))


class _RunStream:
    def __init__(self, call: RunCall, run: Run) -> None:
        self.error: ProtocolError | None = None
        self._call = call
        self._run = run

    async def serve(self) -> None:
        """Read and write until the run is over or the call is."""
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read())
            writer = group.create_task(self._write())
            writer.add_done_callback(lambda _task: reader.cancel())

    async def _read(self) -> None:
        try:
            while True:
                request = _received(await self._call.read())
                if request is None:
                    break
                await self._take(request)
        except ProtocolError as error:
            self.error = error
        except CALL_ENDED:
            pass
        # The writer still says how the run ends.
        self._run.interrupt(str(self.error) if self.error is not None else "pybible-ctl went away")

    async def _write(self) -> None:
        run = self._run
        while (message := await run.outgoing.take()) is not None:
            try:
                await self._call.write(message)
            except CALL_ENDED:
                return
            if faults.ARMED and message.HasField("finished"):
                faults.at("after_finished_sent")
            run.resume()
            if run.out >= _MANY:
                await asyncio.sleep(_GATHER_SECONDS)

    async def _take(self, request: run_pb2.ExecuteRequest) -> None:
        run = self._run
        match request.WhichOneof("message"):
            case "attempts":
                await self._submit(request.attempts)
            case "events":
                run.publish(request.events)
            case "local_results":
                run.local_results(request.local_results.results)
            case "cancel":
                run.cancel_attempts(request.cancel.attempt_ids)
            case "finish":
                run.finish(exit_status=request.finish.exit_status, error=request.finish.error)
            case "start":
                raise ProtocolError("a run starts once")

    async def _submit(self, batch: run_pb2.AttemptBatch) -> None:
        for first in range(0, len(batch.attempts), _TAKEN):
            if first:
                await asyncio.sleep(0)
            self._run.submit(batch, first, first + _TAKEN)


async def _start(call: RunCall) -> run_pb2.StartRun:
    try:
        async with asyncio.timeout(_START_SECONDS):
            request = _received(await call.read())
    except TimeoutError as error:
        raise ProtocolError(f"no StartRun within {_START_SECONDS:g} s") from error
    if request is None or request.WhichOneof("message") != "start":
        raise ProtocolError("the first message was not StartRun")
    if len(request.start.agents) > _AGENTS:
        raise ProtocolError(f"a run may name {_AGENTS} agents at most")
    return request.start


def _request(start: run_pb2.StartRun, rights: Rights, actor: Actor) -> StartRequest:
    grace = None
    if start.HasField("disconnect_grace"):
        grace = seconds_of(start.disconnect_grace)
    return StartRequest(
        name=start.name,
        operator=rights.operator,
        forks=start.forks,
        check=start.check,
        disconnect_grace=grace,
        lost_is_unreachable=start.lost_is_unreachable,
        live_output=start.live_output,
        rights=rights,
        actor=actor,
    )
