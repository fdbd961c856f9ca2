"""lockstep: a batch under the linear strategy."""

from __future__ import annotations

from pybible.server.engine.executor import step as steps
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.strategy.events import ENDED_WELL, Step
from pybible.server.engine.strategy.linear import Linear
from pybible.server.results.events import NoHostsRemaining


class RunCancelled(Exception):
    """The run is to end: an operator's cancel, or a controller that shuts down."""


async def run_linear(context: BatchContext, strategy: Linear) -> bool:
    """Run the batch to its end. False when max_fail_percentage ended it."""
    while True:
        if context.run.dispatcher.cancelled:
            raise RunCancelled(context.run.dispatcher.cancelled)
        step = strategy.next()
        if step is None:
            break
        step = _without_done(context, strategy, step)
        if step is not None:
            await _run_step(context, strategy, step)
    if strategy.stop is not None:
        context.run.emit(NoHostsRemaining())
        # Once when the limit is passed, once because nobody is left: as ansible-core does.
        if len(strategy.batch.failed) >= len(strategy.batch.reachable()):
            context.run.emit(NoHostsRemaining())
        return False
    return True


async def _run_step(context: BatchContext, strategy: Linear, step: Step) -> None:
    compiled = context.play_context.compiled(step.task)
    if compiled.meta:
        if steps.meta(context, step, strategy.feed):
            strategy.skip_rest()
        return
    host = step.hosts[0]
    stepping = context.run.stepping
    if stepping is not None and not await stepping.wants(step.task):
        for each in step.hosts:
            strategy.feed(each, ENDED_WELL)
        return
    once = steps.runs_once(context, step.task, host)
    steps.start(context, step, context.templar(host, step.task))
    run = steps.StepRun(context, step, strategy.feed)
    if once:
        await run.once(strategy.batch.reachable())
        strategy.skip_rest()
    else:
        await run.everywhere()


def is_due(context: BatchContext, step: Step, host: str) -> bool:
    """Whether a task is to run on a host: not if its role has run there already, or its facts are known."""
    task = step.task
    if task.id == context.gather_once and context.run.variables.gathered(host):
        return False
    return step.handler or task.role is None or context.role_is_due(task.role, host)


def _without_done(context: BatchContext, strategy: Linear, step: Step) -> Step | None:
    """Move hosts past a task that has nothing to do there."""
    if step.task.role is None and step.task.id != context.gather_once:
        return step
    due = tuple(host for host in step.hosts if is_due(context, step, host))
    if len(due) == len(step.hosts):
        return step
    done = set(step.hosts) - set(due)
    for host in step.hosts:
        if host in done:
            strategy.feed(host, ENDED_WELL)
    return Step(task=step.task, hosts=due, handler=step.handler) if due else None
