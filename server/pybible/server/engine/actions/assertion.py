"""assertion: `assert`, which fails unless all its expressions hold."""

from __future__ import annotations

from pybible.server.engine.actions.arguments import as_bool
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, Arguments
from pybible.wire.values import JsonValue

_ALLOWED = frozenset({"fail_msg", "msg", "quiet", "success_msg", "that"})


async def run(call: ActionCall) -> ActionResult:
    """Evaluate `that`."""
    args = call.args
    if "that" not in args:
        raise ActionFailed("missing required arguments: that")
    unknown = sorted(name for name in args if name not in _ALLOWED)
    if unknown:
        raise ActionFailed(
            f"Unsupported parameters for (assert) module: {', '.join(unknown)}. "
            "Supported parameters include: fail_msg, quiet, success_msg, that (msg)."
        )
    for name in ("fail_msg", "msg", "success_msg"):
        _check_message(args, name)
    quiet = as_bool(args.get("quiet"), name="quiet")
    that = args["that"]
    expressions = that if isinstance(that, list) else [that]
    holds, failing = call.templar.condition(expressions)
    if not holds:
        return ActionResult(
            result={
                "failed": True,
                "changed": False,
                "assertion": failing,
                "evaluated_to": False,
                "msg": _message(args.get("fail_msg", args.get("msg")), "Assertion failed"),
            },
            verbose_always=not quiet,
        )
    return ActionResult(
        result={"changed": False, "msg": _message(args.get("success_msg"), "All assertions passed")},
        verbose_always=not quiet,
    )


def _check_message(args: Arguments, name: str) -> None:
    value = args.get(name)
    if value is None or isinstance(value, str):
        return
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        named = "fail_msg" if name == "msg" else name
        raise ActionFailed(
            f"argument '{named}' is of type {type(value).__name__} and we were unable to convert to "
            "str_or_list_of_str: a string or list of strings is required"
        )


def _message(value: object, default: str) -> JsonValue:
    return default if value is None else value
