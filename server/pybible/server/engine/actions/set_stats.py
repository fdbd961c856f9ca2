"""set_stats: collects figures of the operator's own for the end of the run."""

from __future__ import annotations

from pybible.server.engine.actions.arguments import as_bool
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, unsupported
from pybible.server.engine.actions.set_fact import is_name


async def run(call: ActionCall) -> ActionResult:
    """Hand over `data`."""
    unsupported(call, ("aggregate", "data", "per_host"))
    data = call.args.get("data")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ActionFailed("The 'data' option needs to be a dictionary/hash", returned=True)
    for name in data:
        if not is_name(str(name)):
            raise ActionFailed(
                f"The variable name '{name}' is not valid. Variables must start with a letter or underscore character, "
                "and contain only letters, numbers and underscores."
            )
    stats = {
        "data": data,
        "per_host": as_bool(call.args.get("per_host"), name="per_host"),
        "aggregate": as_bool(call.args.get("aggregate"), name="aggregate", default=True),
    }
    return ActionResult(result={"changed": False, "ansible_stats": stats})
