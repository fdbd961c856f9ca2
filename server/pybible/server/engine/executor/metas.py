"""metas: what `meta` tasks do to the play, to its hosts and to the inventory."""

from __future__ import annotations

from dataclasses import dataclass

from pybible.server.engine.executor import hygiene
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.strategy.events import Effect, TaskEnd, Verdict
from pybible.server.engine.templating.templar import Templar
from pybible.server.results.events import HostResult, Message, MessageLevel, Status
from pybible.wire.errors import SourceError
from pybible.wire.values import JsonObject

_EFFECTS = {
    "flush_handlers": Effect.FLUSH,
    "end_host": Effect.END_HOST,
    "end_role": Effect.END_ROLE,
    "end_batch": Effect.END_BATCH,
    "end_play": Effect.END_PLAY,
    "clear_host_errors": Effect.CLEAR_ERRORS,
    "clear_facts": Effect.NONE,
    "noop": Effect.NONE,
    "refresh_inventory": Effect.NONE,
    "reset_connection": Effect.NONE,
    # The engine's own, at the end of a role.
    "role_complete": Effect.NONE,
}
# Each host has its own; any other is done once, by the first host, for all.
_PER_HOST = frozenset({"flush_handlers", "end_host", "end_role", "noop", "reset_connection", "role_complete"})
_NO_WHEN = frozenset({"noop", "refresh_inventory", "reset_connection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaEnd:
    """What the strategy is to know; `once`: it holds for all hosts of the step."""

    end: TaskEnd
    once: bool


def kind_of(compiled: CompiledTask) -> str:
    """Return which meta it is."""
    return str(compiled.task.args.get("_raw_params", "")).strip()


def perform(context: BatchContext, compiled: CompiledTask, host: str, templar: Templar) -> MetaEnd:
    """Do it for a host. What goes wrong is the host's failure."""
    kind = kind_of(compiled)
    effect = _EFFECTS.get(kind)
    task = compiled.task
    once = kind not in _PER_HOST
    try:
        if effect is None:
            raise SourceError(f"invalid meta action requested: {kind}", origin=task.origin)
        if task.keywords.when:
            if kind in _NO_WHEN:
                context.run.warn(f"{kind} task does not support when conditional")
            else:
                holds, failing = templar.condition(task.keywords.when)
                if not holds:
                    _skipped(context, compiled, host, failing)
                    return MetaEnd(end=TaskEnd(), once=once)
    except SourceError as error:
        return MetaEnd(end=_failed(context, compiled, host, error), once=once)
    if kind == "role_complete" and task.role is not None:
        context.end_role(task.role, host)
    elif kind == "clear_facts":
        for each in context.batch.reachable():
            context.run.variables.clear_facts(each)
    elif kind == "refresh_inventory":
        context.run.inventory.refresh()
    elif kind == "clear_host_errors":
        # Of every host that the play is meant for, those that failed in an earlier play too.
        context.run.failed.difference_update(context.play_context.hosts)
        context.run.unreachable.difference_update(context.play_context.hosts)
    if not task.implicit:
        context.run.emit(Message(level=MessageLevel.NOTICE, text=f"META: {_told(kind, host)}", verbosity=2))
    return MetaEnd(end=TaskEnd(effect=effect), once=once)


def _told(kind: str, host: str) -> str:
    match kind:
        case "flush_handlers":
            return f"triggered running handlers for {host}"
        case "end_host":
            return f"ending play for {host}"
        case "end_play":
            return "ending play"
        case "end_batch":
            return "ending batch"
        case "clear_facts":
            return "facts cleared"
        case "clear_host_errors":
            return "cleared host errors"
        case "refresh_inventory":
            return "inventory successfully refreshed"
    return kind


def _skipped(context: BatchContext, compiled: CompiledTask, host: str, failing: object) -> None:
    if compiled.task.implicit:
        return
    result: JsonObject = {"skip_reason": "Conditional result was False", "false_condition": failing, "skipped": True}
    context.tell(
        compiled,
        HostResult(
            task_id=compiled.task.id,
            host=host,
            status=Status.SKIPPED,
            result=result,
            action=compiled.action,
            label=host,
            counted=False,
        ),
    )


def _failed(context: BatchContext, compiled: CompiledTask, host: str, error: SourceError) -> TaskEnd:
    message, report = hygiene.failure_of(compiled.task, error)
    context.tell(
        compiled,
        HostResult(
            task_id=compiled.task.id,
            host=host,
            status=Status.FAILED,
            result={"failed": True, "msg": message},
            action=compiled.action,
            label=host,
            error=report,
        ),
    )
    return TaskEnd(verdict=Verdict.FAILED)
