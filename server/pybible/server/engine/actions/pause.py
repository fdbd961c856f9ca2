"""pause: waits. Nobody is asked: without a terminal a prompt is passed over, as Ansible does."""

from __future__ import annotations

from datetime import datetime

from pybible.server.engine.actions.arguments import as_bool, as_int
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult
from pybible.wire.values import JsonObject

_ALLOWED = frozenset({"echo", "minutes", "prompt", "seconds"})
NOT_INTERACTIVE = "Not waiting for response to prompt as stdin is not interactive"


async def run(call: ActionCall) -> ActionResult:
    """Wait for `seconds` or `minutes`."""
    args = call.args
    unknown = sorted(name for name in args if name not in _ALLOWED)
    if unknown:
        raise ActionFailed(
            f"Unsupported parameters for (pause) module: {', '.join(unknown)}. "
            "Supported parameters include: echo, minutes, prompt, seconds."
        )
    if "minutes" in args and "seconds" in args:
        raise ActionFailed("parameters are mutually exclusive: minutes|seconds")
    echo = as_bool(args.get("echo"), name="echo", default=True)
    seconds = _seconds(call)
    started = datetime.now()
    result: JsonObject = {"changed": False, "rc": 0, "stderr": "", "echo": echo, "user_input": ""}
    if seconds is None:
        call.services.warn(NOT_INTERACTIVE)
        result["warnings"] = [NOT_INTERACTIVE]
    else:
        call.services.notice(f"Pausing for {seconds} seconds")
        if args.get("prompt"):
            call.services.notice("(ctrl+C then 'C' = continue early, ctrl+C then 'A' = abort)")
        await call.sleep(seconds)
    stopped = datetime.now()
    took = (stopped - started).total_seconds()
    shown = f"{round(took, 2)} seconds" if "seconds" in args else f"{round(took / 60.0, 2)} minutes"
    result.update(start=str(started), stop=str(stopped), delta=int(took), stdout=f"Paused for {shown}")
    return ActionResult(result=result)


def _seconds(call: ActionCall) -> int | None:
    """Return how long to wait, at least a second; None when nothing says how long."""
    if call.args.get("seconds") is not None:
        return max(1, as_int(call.args["seconds"], name="seconds"))
    if call.args.get("minutes") is not None:
        return max(1, as_int(call.args["minutes"], name="minutes") * 60)
    return None
