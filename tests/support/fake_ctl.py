"""fake_ctl: the engine's end of RunService.Execute, doing only what a test says."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext, suppress
from datetime import timedelta

import grpc.aio

from pybible.server.controller.local_users import LocalUser
from pybible.v1 import run_pb2, run_pb2_grpc
from pybible.wire.values import JsonObject, dumps, loads_object
from tests.support.controller import Holder, RunningController
from tests.support.fake_agent import PATIENCE


class FakeCtl:
    """One run. Ended attempts are waited for by name."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = run_pb2_grpc.RunServiceStub(channel)
        self.started = run_pb2.RunStarted()
        self.granted: asyncio.Queue[str] = asyncio.Queue()
        self.outputs: list[run_pb2.AttemptOutput] = []
        self.ended: dict[str, run_pb2.AttemptEnded] = {}
        self.endings: list[str] = []
        self.cancelled = asyncio.Event()
        self.finished: asyncio.Future[run_pb2.RunFinished] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()
        self._channel = channel
        self._call = self.stub.Execute()
        self._news = asyncio.Condition()
        self._numbers = itertools.count(1)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.started.run_id

    async def start(self, start: run_pb2.StartRun) -> None:
        """Begin the run."""
        await self._call.write(run_pb2.ExecuteRequest(start=start))
        response = await self._call.read()
        assert isinstance(response, run_pb2.ExecuteResponse), response
        self.started = response.started

    async def submit(
        self,
        *agents: str,
        task_id: str = "t1",
        timeout: float = 0.0,
        throttle: int = 0,
        output_limit: int = 0,
        module: str = "ping",
        args: JsonObject | None = None,
        become: str = "",
        become_by: str = "",
        check: bool = False,
        facts_within: int = 0,
    ) -> list[str]:
        """Submit one attempt for each agent, in one message; the task is the same. Return their names."""
        batch = run_pb2.AttemptBatch()
        names = []
        for index, agent in enumerate(agents):
            name = f"a{next(self._numbers)}"
            names.append(name)
            message = batch.attempts.add(
                attempt_id=name, task_id=task_id, host=agent or "localhost", agent=agent, throttle=throttle
            )
            if facts_within:
                message.facts_within.FromSeconds(facts_within)
            if not agent:
                continue
            if index:
                message.has_same_as = True
                continue
            message.task.module = module
            message.task.args = dumps(args or {})
            message.task.output_limit = output_limit
            message.task.check = check
            if become:
                message.task.become.user = become
            message.task.become.executable = become_by
            if timeout:
                message.task.timeout.FromTimedelta(timedelta(seconds=timeout))
        await self._call.write(run_pb2.ExecuteRequest(attempts=batch))
        return names

    async def publish(self, *events: bytes) -> None:
        """Send events."""
        await self._call.write(run_pb2.ExecuteRequest(events=run_pb2.EventBatch(events=events)))

    async def cancel(self, *names: str) -> None:
        """Cancel attempts."""
        await self._call.write(run_pb2.ExecuteRequest(cancel=run_pb2.CancelAttempts(attempt_ids=names)))

    async def local_result(self, name: str) -> None:
        """Say that an attempt on the control node ended."""
        results = run_pb2.LocalResultBatch(results=[run_pb2.LocalResult(attempt_id=name)])
        await self._call.write(run_pb2.ExecuteRequest(local_results=results))

    async def finish(self, *, exit_status: int = 0, error: str = "") -> run_pb2.RunFinished:
        """Finish the run, and return what the controller says of it."""
        finish = run_pb2.FinishRun(exit_status=exit_status, error=error)
        await self._call.write(run_pb2.ExecuteRequest(finish=finish))
        async with asyncio.timeout(PATIENCE):
            return await self.finished

    async def gone(self) -> None:
        """Vanish."""
        self._call.cancel()
        await self.over.wait()

    async def end_of(self, name: str) -> run_pb2.AttemptEnded:
        """Wait for the end of an attempt."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: name in self.ended)
        return self.ended[name]

    async def result_of(self, name: str) -> JsonObject:
        """Wait for the end of an attempt, and return its result."""
        return loads_object((await self.end_of(name)).inline)

    async def output_of(self, count: int) -> list[run_pb2.AttemptOutput]:
        """Wait for so many pieces of output."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: len(self.outputs) >= count)
        return self.outputs

    async def read(self) -> None:
        """Take what comes, until the call ends."""
        with suppress(grpc.RpcError, asyncio.CancelledError):
            while isinstance(response := await self._call.read(), run_pb2.ExecuteResponse):
                await self._take(response)
        self.over.set()

    async def _take(self, response: run_pb2.ExecuteResponse) -> None:
        match response.WhichOneof("message"):
            case "updates":
                async with self._news:
                    for update in response.updates.updates:
                        self._update(update)
                    self._news.notify_all()
            case "cancelled":
                self.cancelled.set()
            case "finished":
                self.finished.set_result(response.finished)

    def _update(self, update: run_pb2.AttemptUpdate) -> None:
        match update.WhichOneof("news"):
            case "started":
                self.granted.put_nowait(update.attempt_id)
            case "output":
                self.outputs.append(update.output)
            case "ended":
                self.ended[update.attempt_id] = update.ended
                self.endings.append(update.attempt_id)


@asynccontextmanager
async def run(
    controller: RunningController,
    *,
    forks: int = 5,
    grace: float | None = None,
    agents: Iterable[str] = (),
    lost_is_unreachable: bool = False,
    live_output: bool = True,
    operator: Holder | LocalUser | None = None,
    channel: grpc.aio.Channel | None = None,
) -> AsyncIterator[FakeCtl]:
    """Open a run, with an operator's certificate or over the socket, as a user (its owner by default).

    `channel`: one that is open already, instead of one of its own.
    """
    start = run_pb2.StartRun(
        name="test.yml",
        forks=forks,
        agents=agents,
        lost_is_unreachable=lost_is_unreachable,
        live_output=live_output,
    )
    if grace is not None:
        start.disconnect_grace.FromTimedelta(timedelta(seconds=grace))
    async with controller.channel_of(operator) if channel is None else nullcontext(channel) as opened:
        ctl = FakeCtl(opened)
        await ctl.start(start)
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(ctl.read())
            try:
                yield ctl
            finally:
                reader.cancel()


def host_result(host: str, *, status: str = "ok", changed: bool = False) -> bytes:
    """Return an event as the engine writes it."""
    return dumps(
        {"type": "host_result", "task_id": "t1", "host": host, "status": status, "result": {"changed": changed}}
    )
