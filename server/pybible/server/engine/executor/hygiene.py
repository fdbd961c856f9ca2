"""hygiene: results as they are registered, and as they may be shown."""

from __future__ import annotations

from pybible.server.engine.actions.call import ActionResult
from pybible.server.engine.model.play import Task
from pybible.server.engine.templating.errors import BadKeyword, UndefinedVariable, levels, message_of, report_of
from pybible.wire.errors import SourceError, TemplateError
from pybible.wire.values import JsonObject

CENSORED = "the output has been hidden due to the fact that 'no_log: true' was specified for this result"
CENSORED_ITEM = "(censored due to no_log)"
# What Ansible puts in place of a traceback that nobody asked for; registered results have it.
NO_TRACEBACK = "(traceback unavailable)"
_KEPT = ("attempts", "changed", "retries")
_TIMEOUT_FRAME = "Configure `DISPLAY_TRACEBACK` to see a traceback on timeout errors."


def shown(result: JsonObject, *, no_log: bool) -> JsonObject:
    """Return what an event may carry."""
    if not no_log:
        return result
    return {"censored": CENSORED, **{name: result[name] for name in _KEPT if name in result}}


def is_failed(result: JsonObject) -> bool:
    """Whether a result is one of failure, by its own word or by its return code."""
    if "failed" in result:
        return bool(result["failed"])
    return "rc" in result and result["rc"] not in (0, "0")


def settle(result: JsonObject) -> None:
    """Give a result its `failed` and `changed`; of a host that was not reached nobody knows whether it failed."""
    result["failed"] = is_failed(result)
    if result.get("unreachable"):
        del result["failed"]
    if not isinstance(result.get("changed"), bool):
        result["changed"] = bool(result.get("changed"))


def timed_out(seconds: float) -> JsonObject:
    """Return the result of a task that ran into its own time limit."""
    return {
        "failed": True,
        "changed": False,
        "msg": f"Task failed: {timeout_text(seconds)}",
        "timedout": {"frame": _TIMEOUT_FRAME, "period": int(seconds) if seconds == int(seconds) else seconds},
    }


def timeout_text(seconds: float) -> str:
    """Return the words for a time limit that was reached."""
    return f"Timed out after {seconds:g} second(s)."


def failure(task: Task, text: str) -> str:
    """Return the long form of a failure that has no place of its own but the task's."""
    return report_of(TemplateError(f"Task failed: {text}", origin=task.origin))


def nested_failure(task: Task, text: str) -> str:
    """Return the long form of a failure that another error, without a place, led to."""
    around = report_of(TemplateError("Task failed.", origin=task.origin))
    return f"Task failed: {text}\n\n{around}\n\n<<< caused by >>>\n\n{text}"


def failure_of(task: Task, error: SourceError) -> tuple[str, str]:
    """Return the message and the long form of an error in something of the operator's."""
    failed = TemplateError("Task failed", origin=task.origin)
    failed.__cause__ = error
    return message_of(failed), report_of(failed)


def may_repeat(error: SourceError) -> bool:
    """Whether the text of an error may repeat the value that could not be worked with."""
    return not any(isinstance(level, UndefinedVariable | BadKeyword) for level in levels(error))


def no_log_text(error: SourceError) -> str:
    """Return the warning for a `no_log` that can't be understood."""
    failed = TemplateError("Invalid no_log value for task, output will be masked")
    failed.__cause__ = error
    return report_of(failed)


def registered(result: JsonObject) -> JsonObject:
    """Return a copy of a result, as a variable has it."""
    failed = result.get("failed") or result.get("unreachable")
    if failed and "exception" not in result and "results" not in result:
        return {**result, "exception": NO_TRACEBACK}
    return dict(result)


def kind(answer: ActionResult) -> str:
    """Return what a failed result is called: the module's, or the action's."""
    return "Module failed" if answer.module_failed else "Action failed"


def reason(answer: ActionResult) -> str:
    """Return what stands behind "Task failed: " for a result that says it failed."""
    msg = answer.result.get("msg", "")
    return f"{kind(answer)}: {msg}" if msg != "" else f"{kind(answer)}."
