"""assertion: `assert`, which fails unless all its expressions hold."""

from __future__ import annotations

from pybible.server.engine.actions.arguments import as_bool
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult
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


def _message(value: object, default: str) -> JsonValue:
    return default if value is None else value
