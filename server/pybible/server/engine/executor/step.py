"""step: one task on the hosts that are at it: banner, host-tasks, results, includes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from pybible.server.engine.actions.arguments import to_bool
from pybible.server.engine.executor import conclude, debugger, includes, metas
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.executor.outcome import HostOutcome
from pybible.server.engine.executor.targets import flag, throttle
from pybible.server.engine.executor.task import HostTask
from pybible.server.engine.model.play import Task
from pybible.server.engine.strategy.events import Step, TaskEnd, Verdict
from pybible.server.engine.templating.templar import Templar
from pybible.server.results.events import HostStarted, TaskKind, TaskStarted
from pybible.wire.errors import SourceError

# How long the engine may work without letting anything else happen, in seconds.
_BREATH = 0.02

Feed = Callable[[str, TaskEnd], bool]


class Breather:
    """Gives way to the rest of the process when host-tasks end without ever waiting."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def breathe(self) -> None:
        """Give way if it is time."""
        if time.monotonic() - self._since > _BREATH:
            await asyncio.sleep(0)
            self._since = time.monotonic()


def start(context: BatchContext, step: Step, templar: Templar) -> None:
    """Emit the task's banner."""
    compiled = context.play_context.compiled(step.task)
    task = step.task
    check = compiled.keyword("check_mode")
    context.banner = task.id
    context.run.emit(
        TaskStarted(
            task_id=task.id,
            name=context.task_name(compiled, templar),
            kind=TaskKind.HANDLER if step.handler else TaskKind.TASK,
            action=compiled.action,
            path=f"{task.origin.file}:{task.origin.line}",
            check=check if isinstance(check, bool) else context.run.options.check,
            hosts=len(step.hosts),
        )
    )


class StepRun:
    """Runs one step. `feed` tells the strategy how the task ended on a host, and says whether a rescue takes it."""

    def __init__(self, context: BatchContext, step: Step, feed: Feed) -> None:
        self._context = context
        self._step = step
        self._feed = feed
        self._compiled: CompiledTask = context.play_context.compiled(step.task)
        self._throttle = 0
        self._fatal = False
        # Outcomes of includes wait until all hosts are done: equal ones are loaded once.
        self._including: list[HostOutcome] = []

    async def everywhere(self) -> None:
        """Run it on every host of the step, as many at a time as can be on their way."""
        hosts = iter(self._step.hosts)
        self._settings(self._context.templar(self._step.hosts[0], self._step.task))
        count = min(len(self._step.hosts), in_flight(self._context.run.options.forks))
        if count == 1:
            await self._crew(hosts)
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(self._crew(hosts))
        self._end_includes()

    async def once(self, shared: Sequence[str]) -> None:
        """Run it on the first host; what comes of it counts for `shared`, its failure for every host.

        An action that always runs once (add_host) keeps its result to the host that ran it.
        """
        host = self._step.hosts[0]
        self._settings(self._context.templar(host, self._step.task))
        run_once = not self._compiled.always_once
        self._fatal = True
        self._context.shared = tuple(shared) if run_once else ()
        try:
            outcome = await self._host(host)
            self._end(outcome, run_once=run_once)
            self._end_includes(run_once=run_once)
        finally:
            self._context.shared = ()

    def _settings(self, templar: Templar) -> None:
        """Learn how the step is run. Raises TemplateError for a throttle that is no number: it ends the run."""
        compiled = self._compiled
        self._throttle = throttle(compiled.keyword("throttle"), templar)
        try:
            self._fatal = flag(
                compiled.keyword("any_errors_fatal"),
                templar,
                "any_errors_fatal",
                default=self._context.run.options.any_errors_fatal,
            )
        except SourceError:
            # Each host-task fails by itself.
            self._fatal = False

    async def _crew(self, hosts: Iterator[str]) -> None:
        breather = Breather()
        for host in hosts:
            self._end(await self._host(host))
            await breather.breathe()

    async def _host(self, host: str) -> HostOutcome:
        self._context.run.show(HostStarted(task_id=self._compiled.task.id, host=host))
        context = self._context
        replay = context.run.replay
        recorded = None if replay is None else replay.take(host, self._compiled)
        outcome = await HostTask(context, self._compiled, host, throttle=self._throttle, recorded=recorded).run()
        if outcome.final.from_run:
            return outcome
        ask = context.run.ask_line
        if ask is None or not debugger.is_due(self._compiled, outcome, everywhere=context.debugging):
            return outcome
        debugged = debugger.Debugger(context, self._compiled, host, ask)
        while debugger.is_due(self._compiled, outcome, everywhere=context.debugging):
            context.run.show(conclude.result_of(self._compiled, outcome))
            outcome.seen = True
            if await debugged.look(outcome, context.run.debugger_turn) is debugger.Choice.GO_ON:
                break
            again = HostTask(context, debugged.compiled, host, throttle=self._throttle, variables=debugged.variables)
            outcome = await again.run()
        return outcome

    def _end(self, outcome: HostOutcome, *, run_once: bool = False) -> None:
        context, compiled = self._context, self._compiled
        end = conclude.end_of(context, outcome, fatal=self._fatal and not outcome.ignore_errors, run_once=run_once)
        if outcome.includes and end.verdict is Verdict.OK:
            conclude.tell(context, compiled, outcome, rescued=False)
            self._including.append(outcome)
            return
        rescued = self._feed(outcome.host, end)
        if rescued:
            conclude.note_failure(context, compiled, outcome)
        conclude.tell(context, compiled, outcome, rescued=rescued)

    def _end_includes(self, *, run_once: bool = False) -> None:
        if not self._including:
            return
        ends = includes.resolve(self._context, self._compiled, self._including)
        for outcome in self._including:
            if outcome.host in ends.failed:
                end = TaskEnd(verdict=Verdict.FAILED, fatal=self._fatal, run_once=run_once)
            else:
                end = conclude.end_of(
                    self._context, outcome, run_once=run_once, include=tuple(ends.nodes[outcome.host])
                )
            self._feed(outcome.host, end)


def in_flight(forks: int) -> int:
    """Return how many host-tasks the engine evaluates at a time: enough that the window is never short of work.

    With one fork hosts come one after the other, so that results stand in their order.
    """
    return 1 if forks == 1 else 2 * forks + 64


def meta(context: BatchContext, step: Step, feed: Feed, *, banner: bool = True) -> bool:
    """Perform a meta task, host by host. True when the first host did it for all."""
    compiled = context.play_context.compiled(step.task)
    for host in step.hosts:
        templar = context.templar(host, step.task)
        if banner and not step.task.implicit:
            start(context, step, templar)
        ended = metas.perform(context, compiled, host, templar)
        feed(host, ended.end)
        if ended.once:
            return True
    return False


def runs_once(context: BatchContext, task: Task, host: str) -> bool:
    """Whether the task runs on one host for all. Raises TemplateError for what can't be rendered: it ends the run."""
    compiled = context.play_context.compiled(task)
    if compiled.always_once:
        return True
    written = compiled.keyword("run_once")
    if written is None or isinstance(written, bool):
        return bool(written)
    found = context.templar(host, task).render(written)
    # Any other text counts as true here; each host-task fails by itself.
    return bool(found) if to_bool(found) is None else bool(to_bool(found))
