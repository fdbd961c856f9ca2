"""execution: the Execute call of one run: its only reader and its only writer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TypeAlias

import grpc
import grpc.aio

from pybible.server.controller.requests import readable
from pybible.server.controller.rights import Rights
from pybible.server.controller.runs.registry import RunRegistry, StartRequest
from pybible.server.controller.runs.run import Run
from pybible.server.controller.sessions.session import CALL_ENDED
from pybible.server.results.audit import Actor
from pybible.v1 import run_pb2
from pybible.wire import logs
from pybible.wire.channel import INLINE_ATTACHMENT_BYTES
from pybible.wire.convert import seconds_of
from pybible.wire.errors import ProtocolError, PybibleError

RunCall: TypeAlias = "grpc.aio.ServicerContext[run_pb2.ExecuteRequest, run_pb2.ExecuteResponse]"

_START_SECONDS = 30.0
_AGENTS = 100_000
# While so many attempts are out, news is gathered for a moment after each message: a message for every result cost the
# controller 15 % more CPU for a host-task, and was no quicker.
_MANY = 8
_GATHER_SECONDS = 0.001


def _received(message: object) -> run_pb2.ExecuteRequest | None:
    """Return what a read gave, None for the end of the stream. ProtocolError when it was no message."""
    readable(message)
    return message if isinstance(message, run_pb2.ExecuteRequest) else None


async def execute(call: RunCall, registry: RunRegistry, *, rights: Rights, actor: Actor) -> None:
    """Serve one run from StartRun to RunFinished."""
    try:
        start = await _start(call)
        run = registry.open(_request(start, rights, actor))
    except ProtocolError as error:
        await call.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except PybibleError as error:
        await call.abort(grpc.StatusCode.UNAVAILABLE, str(error))
    logs.run_id.set(run.run_id)
    started = run_pb2.RunStarted(
        run_id=run.run_id,
        present=registry.present(start.agents),
        inline_attachment_bytes=INLINE_ATTACHMENT_BYTES,
    )
    started.disconnect_grace.FromTimedelta(timedelta(seconds=run.terms.disconnect_grace))
    stream = _RunStream(call, run)
    try:
        # A run that ctl was told of is in the store, whatever becomes of this process.
        await registry.flush()
        run.outgoing.say(run_pb2.ExecuteResponse(started=started))
        await stream.serve()
    finally:
        run.ctl_gone()
    if stream.error is not None:
        await call.abort(grpc.StatusCode.INVALID_ARGUMENT, str(stream.error))


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
                self._take(request)
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
            run.resume()
            if run.out >= _MANY:
                await asyncio.sleep(_GATHER_SECONDS)

    def _take(self, request: run_pb2.ExecuteRequest) -> None:
        run = self._run
        match request.WhichOneof("message"):
            case "attempts":
                run.submit(request.attempts)
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
