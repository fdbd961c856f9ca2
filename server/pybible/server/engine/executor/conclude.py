"""conclude: what follows from a task's outcome on a host: events, notifications, and what the strategy is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pybible.server.engine.executor import hygiene
from pybible.server.engine.executor.compiled import CompiledTask, qualified
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.executor.outcome import HostOutcome
from pybible.server.engine.executor.targets import plain
from pybible.server.engine.model.play import Node, Task
from pybible.server.engine.strategy.events import TaskEnd, Verdict
from pybible.server.results.events import CustomStats, HostResult, Status
from pybible.wire.errors import PybibleError
from pybible.wire.values import JsonObject, JsonValue

# Keywords that ansible_failed_task shows as they stand.
_SHOWN_AS_WRITTEN = (
    "any_errors_fatal",
    "become_exe",
    "become_flags",
    "become_user",
    "collections",
    "connection",
    "debugger",
    "delegate_facts",
    "delegate_to",
    "diff",
    "ignore_errors",
    "ignore_unreachable",
    "port",
    "remote_user",
    "run_once",
)


class MissingHandler(PybibleError):
    """A task notifies a handler that the play does not have."""


def end_of(
    context: BatchContext,
    outcome: HostOutcome,
    *,
    fatal: bool = False,
    run_once: bool = False,
    include: Sequence[Node] = (),
) -> TaskEnd:
    """Return what the strategy is to know. Raises MissingHandler."""
    verdict = Verdict.OK
    if not outcome.ignored:
        if outcome.final.status is Status.FAILED:
            verdict = Verdict.FAILED
        elif outcome.final.status is Status.UNREACHABLE:
            verdict = Verdict.UNREACHABLE
    return TaskEnd(
        verdict=verdict,
        notify=notified_by(context, outcome),
        include=include,
        fatal=fatal,
        run_once=run_once,
    )


def notified_by(context: BatchContext, outcome: HostOutcome) -> tuple[str, ...]:
    """Return what the outcome notifies. Raises MissingHandler."""
    for name in outcome.final.notify:
        if not context.play_context.handlers.find(name):
            text = (
                f"The requested handler '{name}' was not found in either the main handlers list nor in the listening "
                "handlers list"
            )
            if context.run.options.error_on_missing_handler:
                raise MissingHandler(text)
            context.run.warn(text)
    if outcome.final.notify:
        tell_notified(context, outcome.host, outcome.final.notify, now=context.batch.cursors[outcome.host].in_handlers)
    return outcome.final.notify


def tell_notified(context: BatchContext, host: str, names: Iterable[str], *, now: bool) -> None:
    """Say at -vv which handlers were notified; outside of handlers that is known at the flush only."""
    if context.run.options.verbosity < 2:
        return
    known = set(context.batch.cursors[host].notified)
    for name in names:
        if not now:
            context.run.notice(f"Notification for handler {name} has been saved.")
            continue
        for task in context.play_context.handlers.find(name):
            if task.id not in known:
                known.add(task.id)
                shown = context.task_name(context.play_context.compiled(task), context.templar(host, task))
                context.run.notice(f"NOTIFIED HANDLER {shown} for {host}")


def tell(context: BatchContext, compiled: CompiledTask, outcome: HostOutcome, *, rescued: bool) -> None:
    """Emit the task's one final result on the host, and what it adds to the custom statistics."""
    status = outcome.final.status
    if outcome.seen:
        context.run.dispatcher.publish((result_of(compiled, outcome, rescued=rescued),))
    else:
        context.tell(compiled, result_of(compiled, outcome, rescued=rescued))
    role = compiled.task.role
    if role is not None and status is Status.OK:
        context.note_role(role, outcome.host)
    if (outcome.action or compiled.action) == "set_stats":
        for item in outcome.items:
            _collect_stats(context, outcome.host, item.result)


def result_of(compiled: CompiledTask, outcome: HostOutcome, *, rescued: bool = False) -> HostResult:
    """Return what is told of an outcome."""
    final = outcome.final
    return HostResult(
        task_id=compiled.task.id,
        host=outcome.host,
        status=final.status,
        result=hygiene.shown(final.result, no_log=final.no_log),
        action=outcome.action or compiled.action,
        label=final.label,
        ignored=outcome.ignored,
        rescued=rescued,
        counted=not (compiled.include and final.status is Status.OK),
        loop=outcome.loop,
        verbose_always=final.verbose_always and not final.no_log,
        diff=final.diff,
        error="" if outcome.loop else final.error,
        from_run=final.from_run,
    )


def note_failure(context: BatchContext, compiled: CompiledTask, outcome: HostOutcome) -> None:
    """Give the rescue that follows its ansible_failed_task and ansible_failed_result."""
    context.run.variables.set_fact(
        outcome.host,
        {
            "ansible_failed_task": describe(compiled.task, poll=context.run.options.poll_interval),
            "ansible_failed_result": hygiene.registered(outcome.final.result),
        },
    )


def describe(task: Task, *, poll: int) -> JsonObject:
    """Return a task as ansible_failed_task shows it."""
    keywords = task.keywords
    control = task.loop_control
    described = {name: plain(keywords.get(name)) for name in _SHOWN_AS_WRITTEN}
    described.update(
        _resolved_action=qualified(task.action),
        action=task.action_written,
        args=plain(dict(task.args)),
        become=plain(keywords.get("become", False)),
        become_method=plain(keywords.get("become_method", "sudo")),
        changed_when=plain(task.changed_when),
        check_mode=plain(keywords.get("check_mode", False)),
        delay=plain(task.delay),
        environment=plain(keywords.environment) or [{}],
        failed_when=plain(task.failed_when),
        loop=plain(task.loop),
        loop_control={
            name: plain(getattr(control, name))
            for name in ("break_when", "extended", "extended_allitems", "index_var", "label", "loop_var", "pause")
        },
        loop_with=task.loop_with or None,
        module_defaults=plain(keywords.module_defaults),
        name=str(task.name),
        no_log=plain(keywords.get("no_log", False)),
        notify=plain(keywords.notify) or None,
        poll=poll if task.poll is None else plain(task.poll),
        register=str(task.register) or None,
        retries=plain(task.retries),
        tags=plain(keywords.tags),
        throttle=plain(keywords.get("throttle", 0)),
        timeout=plain(keywords.get("timeout", 0)),
        until=plain(task.until),
        uuid=task.id,
        when=plain(keywords.when),
    )
    described["async"] = plain(task.async_)
    return described


def _collect_stats(context: BatchContext, host: str, result: JsonObject) -> None:
    stats = result.get("ansible_stats")
    if not isinstance(stats, dict) or not isinstance(stats.get("data"), dict):
        return
    key = host if stats.get("per_host") else "_run"
    collected = context.run.stats.setdefault(key, {})
    for name, value in stats["data"].items():
        collected[name] = _added(collected.get(name), value) if stats.get("aggregate") else value
    context.run.emit(CustomStats(host=key, data=dict(collected)))


def _added(known: JsonValue, value: JsonValue) -> JsonValue:
    """Add a figure to what was collected, as far as the two go together."""
    if known is None:
        return value
    if isinstance(known, dict) and isinstance(value, dict):
        return {**known, **value}
    same = type(known) is type(value) and isinstance(known, int | float | str | list)
    return known + value if same else value
