"""pause: waits for a time, or for the operator. Without a terminal a prompt is passed over, as Ansible does."""

from __future__ import annotations

from datetime import datetime

from pybible.server.engine.actions.arguments import as_bool, no_int
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult
from pybible.wire.values import JsonObject

_ALLOWED = frozenset({"echo", "minutes", "prompt", "seconds"})
_KEYS = "(ctrl+C then 'C' = continue early, ctrl+C then 'A' = abort)"
HIDDEN = " (output is hidden)"
NOT_INTERACTIVE = "Not waiting for response to prompt as stdin is not interactive"


async def run(call: ActionCall) -> ActionResult:
    """Wait for `seconds` or `minutes`; without either for a line, which is the result's `user_input`."""
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
    prompt = str(args.get("prompt") or "")
    if seconds is not None:
        call.services.notice(f"Pausing for {seconds} seconds" + ("" if echo else HIDDEN))
        if prompt or call.answer is not None:
            call.services.notice(_KEYS)
        if prompt and call.answer is not None:
            call.services.notice(_question(call, prompt, echo=echo))
        await call.sleep(seconds)
    elif call.answer is not None:
        prompt = prompt or "Press enter to continue, Ctrl+C to interrupt"
        call.services.notice(_question(call, prompt, echo=echo))
        result["user_input"] = await call.answer(echo)
    else:
        call.services.warn(NOT_INTERACTIVE)
        result["warnings"] = [NOT_INTERACTIVE]
    stopped = datetime.now()
    took = (stopped - started).total_seconds()
    shown = f"{round(took, 2)} seconds" if "seconds" in args else f"{round(took / 60.0, 2)} minutes"
    result.update(start=str(started), stop=str(stopped), delta=int(took), stdout=f"Paused for {shown}")
    return ActionResult(result=result)


def _question(call: ActionCall, prompt: str, *, echo: bool) -> str:
    """Return the lines that are printed above what is typed."""
    hidden = "" if echo else HIDDEN
    return f"[{call.task.name or call.name}]\n{prompt}{hidden}:"


def _seconds(call: ActionCall) -> int | None:
    """Return how long to wait, at least a second; None when nothing says how long."""
    if call.args.get("seconds") is not None:
        return max(1, _whole(call.args["seconds"], "seconds"))
    if call.args.get("minutes") is not None:
        return max(1, _whole(call.args["minutes"], "minutes") * 60)
    return None


def _whole(value: object, name: str) -> int:
    try:
        return int(str(value))
    except ValueError as error:
        raise no_int(value, name, error) from None
