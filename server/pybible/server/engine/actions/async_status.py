"""async_status: how a job stands that an earlier task started and did not wait for."""

from __future__ import annotations

from typing import Final

from pybible.server.engine.actions.arguments import as_text
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, Services, from_outcome
from pybible.server.engine.templating.templar import Templar
from pybible.wire.values import JsonObject

MODULE: Final = "async_status"
_DIRECTORY: Final = "~/.ansible_async"
_MODES: Final = ("status", "cleanup")


async def run(call: ActionCall) -> ActionResult:
    """Ask for `jid`, or forget it."""
    unknown = sorted(name for name in call.args if name not in ("jid", "mode"))
    if call.args.get("jid") is None:
        raise ActionFailed("missing required arguments: jid")
    mode = as_text(call.args.get("mode") or "status")
    if mode not in _MODES:
        raise ActionFailed(f"value of mode must be one of: {', '.join(_MODES)}, got: {mode}")
    if unknown:
        raise ActionFailed(f"{', '.join(unknown)}. Supported parameters include: jid, mode.")
    return await ask(call.services, as_text(call.args["jid"]), directory=directory_for(call.templar), mode=mode)


async def ask(services: Services, job_id: str, *, directory: str, mode: str = "status") -> ActionResult:
    """Return how a job stands."""
    file = f"{directory.rstrip('/')}/{job_id}"
    about: JsonObject = {
        "started": mode == "status",
        "finished": False,
        "stdout": "",
        "stderr": "",
        "ansible_job_id": job_id,
        "erased" if mode == "cleanup" else "results_file": file,
    }
    arguments: JsonObject = {"jid": job_id, "mode": mode, "_async_dir": directory}
    outcome = await services.run_module(MODULE, arguments, now=True)
    answer = from_outcome(outcome)
    # How the job of a host that can't be asked stands, nobody knows.
    if outcome.reason:
        answer.result["reason"] = outcome.reason
    elif not outcome.unreachable:
        answer.result = {**about, "stdout_lines": [], "stderr_lines": [], **answer.result}
    return answer


def directory_for(templar: Templar) -> str:
    """Return the folder on the host in which jobs have their files."""
    chosen = templar.variables.get("ansible_async_dir")
    return templar.render_text(chosen) or _DIRECTORY if chosen is not None else _DIRECTORY
