"""judgement: what changed_when and failed_when make of a result, and whom a change notifies."""

from __future__ import annotations

from pybible.server.engine.actions.call import ActionResult
from pybible.server.engine.executor import hygiene
from pybible.server.engine.model.play import Task
from pybible.server.engine.templating.errors import message_of
from pybible.server.engine.templating.templar import Templar
from pybible.wire.errors import SourceError
from pybible.wire.values import JsonObject


def judge(task: Task, templar: Templar, answer: ActionResult) -> Templar:
    """Apply the task's changed_when and failed_when; return what `until` is to be evaluated with."""
    result = answer.result
    seen = templar
    if task.register or result.get("ansible_facts"):
        facts = result.get("ansible_facts")
        extra: dict[str, object] = dict(facts) if isinstance(facts, dict) else {}
        if task.register:
            extra[task.register] = result
        seen = seen.with_variables(extra)
    if result.get("skipped") or result.get("unreachable"):
        return seen
    name = "changed"
    try:
        if task.changed_when:
            result["changed"] = seen.condition(task.changed_when)[0]
        name = "failed"
        if task.failed_when:
            _judge_failed(task, seen, answer)
    except SourceError as error:
        result["failed"] = True
        result[f"{name}_when_result"] = message_of(error)
        answer.module_failed = answer.module_failed and name == "failed"
    return seen


def _judge_failed(task: Task, seen: Templar, answer: ActionResult) -> None:
    result: JsonObject = answer.result
    had_failed = bool(result.get("failed"))
    result["failed"] = result["failed_when_result"] = seen.condition(task.failed_when)[0]
    answer.module_failed = answer.module_failed and bool(result["failed"])
    if had_failed and not result["failed"]:
        result.pop("exception", None)
        result["failed_when_suppressed_exception"] = hygiene.NO_TRACEBACK


def names_of(rendered: object) -> tuple[str, ...]:
    """Return the handlers that a rendered `notify` names."""
    names: list[str] = []
    for entry in rendered if isinstance(rendered, list) else [rendered]:
        names += [str(name) for name in entry] if isinstance(entry, list) else [str(entry)]
    return tuple(name for name in names if name)
