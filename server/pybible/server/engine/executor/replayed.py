"""replayed: the outcome of a task, or of one item of its loop, as an earlier run told it.

What only the engine does is done again where that has no other effect than in the engine itself: groups, hosts and
variables are made of it anew. Values that came out otherwise than then are those of then.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from pybible.server.engine.actions.call import FactsLevel
from pybible.server.engine.executor.compiled import CompiledTask
from pybible.server.engine.executor.context import BatchContext
from pybible.server.engine.executor.item import ItemRun
from pybible.server.engine.executor.judgement import names_of
from pybible.server.engine.executor.outcome import ItemOutcome
from pybible.server.engine.executor.replay import is_hidden
from pybible.server.engine.executor.targets import flag
from pybible.server.engine.templating.templar import Templar
from pybible.server.results.events import HostResult, ItemResult, Status
from pybible.wire.errors import SourceError
from pybible.wire.values import JsonObject, JsonValue, dumps

# Done again whatever came of them: they work on what the engine holds.
_AGAIN: Final = frozenset({"add_host", "group_by", "include_role", "include_tasks", "include_vars"})
# Done again, and compared: JSON has not all that a value may be.
_COMPARED: Final = frozenset({"assert", "debug", "fail", "set_fact", "set_stats", "validate_argument_spec"})
# What the engine is after in their results are the facts.
_FACTS: Final = ("gather_facts", "setup")
_MARKS: Final = {Status.FAILED: "failed", Status.SKIPPED: "skipped", Status.UNREACHABLE: "unreachable"}


async def outcome(
    context: BatchContext,
    compiled: CompiledTask,
    run: ItemRun,
    templar: Templar,
    told: HostResult | ItemResult,
    *,
    run_id: str,
) -> ItemOutcome:
    """Return the outcome that `told` tells of, or that of `run` where it takes that."""
    hidden = is_hidden(told.result)
    if compiled.action in _AGAIN or compiled.action in _COMPARED:
        again = await run.run()
        again.from_run = run_id
        if compiled.action in _COMPARED and not hidden and not _same(again, told):
            again = replace(again, result=_of_then(again, told), error=told.error)
        return again
    if hidden and _is_needed(compiled, told):
        name = f"[{compiled.written_name}] ({compiled.task.origin.file}:{compiled.task.origin.line})"
        context.run.warn(f"{told.host}: {name} is run again: no_log hides what it gave, and tasks to come use it")
        return await run.run()
    return _as_told(context, compiled, templar, told, run_id=run_id, hidden=hidden)


def _as_told(
    context: BatchContext,
    compiled: CompiledTask,
    templar: Templar,
    told: HostResult | ItemResult,
    *,
    run_id: str,
    hidden: bool,
) -> ItemOutcome:
    result = dict(told.result)
    if hidden and told.status in _MARKS:
        result[_MARKS[told.status]] = True
    _note_brought(context, compiled, templar, told)
    notify: tuple[str, ...] = ()
    if compiled.notify and result.get("changed") and told.status is Status.OK:
        notify = names_of(templar.render(list(compiled.notify)))
    return ItemOutcome(
        result=result,
        error=told.error,
        label=told.label,
        no_log=hidden,
        verbose_always=told.verbose_always,
        facts_level=FactsLevel.FACTS,
        facts_host=_facts_host(compiled, templar, told.host),
        notify=notify,
        from_run=run_id,
    )


def _same(again: ItemOutcome, told: HostResult | ItemResult) -> bool:
    """Whether a result is what it was; the variables of a loop are not a part of it yet."""
    if again.status is not told.status:
        return False
    return all(_equal(value, told.result.get(name)) for name, value in again.result.items())


def _of_then(again: ItemOutcome, told: HostResult | ItemResult) -> JsonObject:
    """Return the result of then; of its facts, those that came out the same keep what JSON can't hold."""
    result = dict(told.result)
    then, now = result.get("ansible_facts"), again.result.get("ansible_facts")
    if isinstance(then, dict) and isinstance(now, dict):
        result["ansible_facts"] = {
            name: now[name] if name in now and _equal(now[name], value) else value for name, value in then.items()
        }
    return result


def _equal(now: JsonValue, then: JsonValue) -> bool:
    try:
        return dumps(now) == dumps(then)
    except (TypeError, ValueError):
        # What JSON can't hold was not told.
        return True


def _is_needed(compiled: CompiledTask, told: HostResult | ItemResult) -> bool:
    """Whether what is hidden of a result may be asked for."""
    if told.status in (Status.SKIPPED, Status.UNREACHABLE):
        return False
    action = compiled.action
    return bool(compiled.task.register) or action in _FACTS or action.endswith(("_facts", "_info"))


def _facts_host(compiled: CompiledTask, templar: Templar, host: str) -> str:
    if compiled.delegate_to is None:
        return host
    try:
        if flag(compiled.keyword("delegate_facts"), templar, "delegate_facts"):
            return templar.render_text(compiled.delegate_to) or host
    except SourceError:
        pass
    return host


def _note_brought(
    context: BatchContext, compiled: CompiledTask, templar: Templar, told: HostResult | ItemResult
) -> None:
    """Remember which files hosts filled: what they hold is data in this run too."""
    brought = context.run.variables.brought
    if compiled.action == "fetch" and isinstance(told.result.get("dest"), str):
        brought.add(Path(told.result["dest"]).resolve())
    elif compiled.action.endswith("synchronize"):
        dest = Path(templar.render_text(compiled.task.args.get("dest", "")))
        if dest.exists():
            brought.update(path.resolve() for path in (dest, *dest.rglob("*")))
