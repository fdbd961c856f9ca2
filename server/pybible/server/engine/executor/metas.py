"""metas: what `meta` tasks do to the play, to its hosts and to the inventory."""

from __future__ import annotations

from dataclasses import dataclass

from pybible.server.engine.executor import conclude
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.model.play import Task
from pybible.server.engine.strategy.events import Effect, TaskEnd
from pybible.server.engine.templating.templar import Templar
from pybible.server.results.events import HostResult, Message, MessageLevel, Status
from pybible.wire.errors import SourceError

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
    """Do it for a host. Raises SourceError for what is no meta, and for a condition that fails."""
    kind = kind_of(compiled)
    effect = _EFFECTS.get(kind)
    task = compiled.task
    once = kind not in _PER_HOST
    if effect is None:
        raise SourceError(f"invalid meta action requested: {kind}", origin=task.origin)
    if task.keywords.when:
        if kind in _NO_WHEN:
            if not task.implicit:
                context.run.warn(f"{kind} task does not support when conditional")
        elif not templar.condition(task.keywords.when)[0]:
            _skipped(context, compiled, host, kind)
            return MetaEnd(end=TaskEnd(), once=once)
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
    if effect is Effect.FLUSH:
        conclude.tell_notified(context, host, context.batch.cursors[host].asked, now=True)
    if kind != "end_role":
        _tell(context, compiled, _done(kind, host))
    return MetaEnd(end=TaskEnd(effect=effect), once=once)


def _tell(context: BatchContext, compiled: CompiledTask, text: str) -> None:
    if not compiled.task.implicit:
        context.run.emit(Message(level=MessageLevel.NOTICE, text=f"META: {text}", verbosity=2))


def _done(kind: str, host: str) -> str:
    return {
        "flush_handlers": f"triggered running handlers for {host}",
        "end_host": f"ending play for {host}",
        "end_play": "ending play",
        "end_batch": "ending batch",
        "clear_facts": "facts cleared",
        "clear_host_errors": "cleared host errors",
        "refresh_inventory": "inventory successfully refreshed",
        "reset_connection": "reset connection",
    }.get(kind, kind)


def _left_out(kind: str, host: str, task: Task) -> str:
    """Return what is left undone, in ansible-core's words (and its missing comma)."""
    role = task.role.name if task.role is not None else ""
    return {
        "flush_handlers": f", not running handlers for {host}",
        "end_host": f", continuing execution for {host}",
        "end_role": f"continuing role {role} for {host}",
        "end_play": ", continuing play",
        "end_batch": ", continuing current batch",
        "clear_facts": f", not clearing facts and fact cache for {host}",
        "clear_host_errors": f", not clearing host error state for {host}",
    }.get(kind, "")


def _skipped(context: BatchContext, compiled: CompiledTask, host: str, kind: str) -> None:
    task = compiled.task
    if task.implicit:
        return
    rest = _left_out(kind, host, task)
    reason = f"{kind} conditional evaluated to False{rest}"
    msg = f"{kind} conditional evaluated to false{rest}" if kind == "end_host" else kind
    _tell(context, compiled, reason)
    context.tell(
        compiled,
        HostResult(
            task_id=task.id,
            host=host,
            status=Status.SKIPPED,
            result={"msg": msg, "skip_reason": reason, "skipped": True},
            action=compiled.action,
            label=host,
            counted=False,
        ),
    )
