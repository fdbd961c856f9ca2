"""wait_for_connection: waits until the host answers."""

from __future__ import annotations

import time

from pybible.server.engine.actions.arguments import as_int
from pybible.server.engine.actions.call import ActionCall, ActionResult


async def run(call: ActionCall) -> ActionResult:
    """Ping until it works or `timeout` seconds have passed."""
    args = call.args
    delay = as_int(args.get("delay", 0), name="delay")
    pause = as_int(args.get("sleep", 1), name="sleep")
    timeout = as_int(args.get("timeout", 600), name="timeout")
    started = time.monotonic()
    if call.check:
        return ActionResult(result={"changed": False, "skipped": True, "elapsed": 0})
    if delay:
        await call.sleep(delay)
    while True:
        outcome = await call.services.run_module("ping", {})
        elapsed = int(time.monotonic() - started)
        if not outcome.unreachable and outcome.result.get("ping") == "pong":
            return ActionResult(result={"changed": False, "elapsed": elapsed})
        if elapsed + pause > timeout:
            reason = outcome.result.get("msg", "")
            return ActionResult(
                result={
                    "changed": False,
                    "failed": True,
                    "elapsed": elapsed,
                    "msg": f"timed out waiting for ping module test: {reason}",
                }
            )
        await call.sleep(pause)
