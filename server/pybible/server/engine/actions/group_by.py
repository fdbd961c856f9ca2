"""group_by: puts the host into a group that is named after something of its own."""

from __future__ import annotations

from pybible.server.engine.actions.arguments import as_list
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, unsupported


async def run(call: ActionCall) -> ActionResult:
    """Add the host to the group."""
    unsupported(call, ("key", "parents"))
    if "key" not in call.args:
        raise ActionFailed("the 'key' param is required when using group_by", returned=True)
    group = str(call.args["key"]).replace(" ", "-")
    parents = call.args.get("parents", ["all"])
    names = [str(parent).replace(" ", "-") for parent in (as_list(parents) if isinstance(parents, list) else [parents])]
    changed = call.inventory.add_dynamic_group(call.host, group, parents=names)
    return ActionResult(result={"changed": changed, "add_group": group, "parent_groups": names})
