"""atwill: a batch under the free strategy, and under host_pinned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from pybible.server.engine.actions.registry import ONCE_FOR_ALL
from pybible.server.engine.executor import step as steps
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.executor.lockstep import RunCancelled, is_due
from pybible.server.engine.executor.targets import flag
from pybible.server.engine.strategy.events import ENDED_WELL, Step
from pybible.server.engine.strategy.free import Free
from pybible.wire.errors import SourceError

_NOT_ONCE = (
    "Using run_once with the free strategy is not currently supported. This task will still be executed for every host "
    "in the inventory list."
)


_NOT_FATAL = (
    "Using any_errors_fatal with the free strategy is not supported, as tasks are executed independently on each host"
)


class FreeRun:
    """Lets every host go on as soon as it can."""

    def __init__(self, context: BatchContext, strategy: Free, *, at_a_time: int = 0) -> None:
        self._context = context
        self._strategy = strategy
        # How many hosts are under way, each to its end (host_pinned); 0 for all.
        self._at_a_time = at_a_time
        context.announce = self._announce
        self._steps: dict[str, Step] = {}

    async def run(self) -> None:
        """Run the batch to its end."""
        while hosts := self._strategy.ready():
            # Hosts that clear_host_errors brings back are taken up by the next round.
            rest = iter(hosts)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(hosts), self._at_a_time or len(hosts))):
                    group.create_task(self._crew(rest))

    async def _crew(self, hosts: Iterator[str]) -> None:
        for host in hosts:
            await self._host(host)

    async def _host(self, host: str) -> None:
        breather = steps.Breather()
        while (step := self._strategy.next(host)) is not None:
            if self._context.run.dispatcher.cancelled:
                raise RunCancelled(self._context.run.dispatcher.cancelled)
            self._steps[step.task.id] = step
            if is_due(self._context, step, host):
                await self._step(host, step)
            else:
                self._strategy.feed(host, ENDED_WELL)
            await breather.breathe()

    async def _step(self, host: str, step: Step) -> None:
        context = self._context
        compiled = context.play_context.compiled(step.task)
        if compiled.meta:
            steps.meta(context, step, self._strategy.feed, banner=False)
            return
        if step.task.action in ONCE_FOR_ALL:
            raise SourceError(
                f"The '{step.task.action}' module bypasses the host loop, which is currently not supported in the free "
                "strategy and would instead execute for every host in the inventory list.",
                origin=step.task.origin,
            )
        if steps.runs_once(context, step.task, host):
            context.run.warn(_NOT_ONCE)
        if flag(compiled.keyword("any_errors_fatal"), context.templar(host, step.task), "any_errors_fatal"):
            context.run.warn(_NOT_FATAL)
        stepping = context.run.stepping
        if stepping is not None and not await stepping.wants(step.task, host=host):
            self._strategy.feed(host, ENDED_WELL)
            return
        await steps.StepRun(context, step, self._strategy.feed).everywhere()

    def _announce(self, compiled: CompiledTask, host: str) -> None:
        """Print the banner of the task whose result comes now: those of several tasks mix."""
        steps.start(self._context, self._steps[compiled.task.id], self._context.templar(host, compiled.task))
