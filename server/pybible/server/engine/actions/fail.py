"""fail: fails, with a message of the operator's."""

from __future__ import annotations

from pybible.server.engine.actions.call import ActionCall, ActionResult, unsupported


async def run(call: ActionCall) -> ActionResult:
    """Fail."""
    unsupported(call, ("msg",))
    return ActionResult(
        result={"failed": True, "msg": call.args.get("msg", "Failed as requested from task"), "changed": False}
    )
