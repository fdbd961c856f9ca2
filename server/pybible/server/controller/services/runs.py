"""runs: RunService, for operators: drives, lists, watches and cancels runs."""

from __future__ import annotations

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from pybible.server.controller.expirations import Expirations
from pybible.server.controller.runs.events import TooSlow
from pybible.server.controller.runs.execution import execute
from pybible.server.controller.runs.history import StoreUnwritable
from pybible.server.controller.runs.registry import NoSuchRun, RunRegistry, RunView, TooManyWatchers
from pybible.server.controller.runs.run import STATES
from pybible.server.controller.services.access import Access
from pybible.server.controller.store.database import LAST_NUMBER
from pybible.server.controller.store.runs import AttemptRecord, RunRecord
from pybible.server.results.recap import COUNTS
from pybible.v1 import run_pb2, run_pb2_grpc

_LISTED = 50
_LISTED_AT_MOST = 1_000


class RunServicer(run_pb2_grpc.RunServiceServicer):
    """Answers operators about runs, and serves their ctl."""

    def __init__(self, *, access: Access, runs: RunRegistry, expirations: Expirations) -> None:
        self._access = access
        self._runs = runs
        self._expirations = expirations

    async def Execute(  # type: ignore[override]  # read and written through the context: one reader, one writer
        self,
        request_iterator: object,
        context: grpc.aio.ServicerContext[run_pb2.ExecuteRequest, run_pb2.ExecuteResponse],
    ) -> None:
        """Serve one run."""
        caller = await self._access.require(context, "pybible.v1.RunService/Execute")
        actor = caller.actor

        def expired() -> None:
            self._runs.interrupt(actor.identity, "the operator's certificate has expired", serial=actor.serial)

        with self._expirations.watched(caller.expires, expired):
            await execute(
                context,
                self._runs,
                rights=self._access.rights(caller),
                actor=actor,
                # It may have been revoked, or have expired, while the run was to be begun.
                still_allowed=lambda: self._access.require(context, "pybible.v1.RunService/Execute"),
            )

    async def WatchRun(  # type: ignore[override]  # written with context.write
        self,
        request: run_pb2.WatchRunRequest,
        context: grpc.aio.ServicerContext[run_pb2.WatchRunRequest, run_pb2.WatchRunResponse],
    ) -> None:
        """Replay the events of a run, and follow it to its end."""
        await self._access.require(context, "pybible.v1.RunService/WatchRun")
        try:
            run_id = await self._runs.resolve(request.run_id)
            async with self._runs.watch(run_id, from_seq=min(request.from_seq, LAST_NUMBER)) as batches:
                async for batch in batches:
                    # Who is shut out meanwhile hears no more of it.
                    await self._access.require(context, "pybible.v1.RunService/WatchRun")
                    time = _moment(batch.time)
                    for seq, event in enumerate(batch.events, batch.first_seq):
                        news = run_pb2.RunEvent(seq=seq if batch.first_seq else 0, time=time, event=event)
                        await context.write(run_pb2.WatchRunResponse(event=news))
            view, _attempts = await self._runs.find(run_id)
        except NoSuchRun as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except TooManyWatchers as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        except StoreUnwritable as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except TooSlow:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "this watcher does not keep up with the run")
        await context.write(run_pb2.WatchRunResponse(finished=_summary(view)))

    async def ListRuns(
        self,
        request: run_pb2.ListRunsRequest,
        context: grpc.aio.ServicerContext[run_pb2.ListRunsRequest, run_pb2.ListRunsResponse],
    ) -> run_pb2.ListRunsResponse:
        """Return runs, the newest first."""
        await self._access.require(context, "pybible.v1.RunService/ListRuns")
        limit = min(request.limit or _LISTED, _LISTED_AT_MOST)
        listed = await self._runs.newest(limit=limit, before=request.before_run_id)
        return run_pb2.ListRunsResponse(runs=[_shown(run.record, run.hosts or 0) for run in listed])

    async def GetRun(
        self,
        request: run_pb2.GetRunRequest,
        context: grpc.aio.ServicerContext[run_pb2.GetRunRequest, run_pb2.GetRunResponse],
    ) -> run_pb2.GetRunResponse:
        """Return a run with its attempts."""
        await self._access.require(context, "pybible.v1.RunService/GetRun")
        try:
            view, attempts = await self._runs.find(request.run_id)
        except NoSuchRun as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except StoreUnwritable as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return run_pb2.GetRunResponse(run=_summary(view), attempts=[_attempt(record) for record in attempts])

    async def CancelRun(
        self,
        request: run_pb2.CancelRunRequest,
        context: grpc.aio.ServicerContext[run_pb2.CancelRunRequest, run_pb2.CancelRunResponse],
    ) -> run_pb2.CancelRunResponse:
        """End a run. It may take a moment until all that is out has ended."""
        caller = await self._access.require(context, "pybible.v1.RunService/CancelRun")
        try:
            operator = caller.identity.id
            view, was_open = await self._runs.cancel(request.run_id, operator=operator)
        except NoSuchRun as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except StoreUnwritable as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        self._access.note(caller, "run.cancel", view.record.name, run_id=view.record.run_id)
        return run_pb2.CancelRunResponse(run=_summary(view), was_over=not was_open)


def _summary(view: RunView) -> run_pb2.RunSummary:
    summary = _shown(view.record, len(view.recap))
    for host, counts in view.recap.items():
        summary.recap.add(host=host, **{name: getattr(counts, name) for name in COUNTS})
    return summary


def _shown(record: RunRecord, hosts: int) -> run_pb2.RunSummary:
    """Return what lists show of a run."""
    summary = run_pb2.RunSummary(
        run_id=record.run_id,
        name=record.name,
        operator=record.operator,
        state=STATES[record.state],
        forks=record.forks,
        check=record.check_mode,
        started=_moment(record.started),
        exit_status=record.exit_status,
        error=record.error,
        hosts=hosts,
    )
    if record.ended is not None:
        summary.ended.CopyFrom(_moment(record.ended))
    return summary


def _attempt(record: AttemptRecord) -> run_pb2.AttemptRecord:
    message = run_pb2.AttemptRecord(
        attempt_id=record.attempt_id,
        task_id=record.task_id,
        host=record.host,
        agent=record.agent,
        module=record.module,
        state=record.state,
        reason=record.reason,
        failed=record.failed,
        late=record.late,
    )
    if record.dispatched is not None:
        message.dispatched.CopyFrom(_moment(record.dispatched))
    if record.ended is not None:
        message.ended.CopyFrom(_moment(record.ended))
    return message


def _moment(seconds: float) -> Timestamp:
    moment = Timestamp()
    moment.FromNanoseconds(int(seconds * 1_000_000) * 1000)
    return moment
