"""add_host: adds a host, and groups, to the inventory of this run."""

from __future__ import annotations

from pybible.server.engine.actions.arguments import as_list
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult
from pybible.server.engine.inventory.addresses import parse_address
from pybible.wire.values import JsonObject

_NAMES = ("name", "hostname", "host")
_GROUPS = ("groupname", "groups", "group")


async def run(call: ActionCall) -> ActionResult:
    """Add the host; its other arguments are its variables."""
    args = call.args
    written = next((args[key] for key in _NAMES if args.get(key)), None)
    if written is None:
        raise ActionFailed("name, host or hostname needs to be provided")
    name, port = parse_address(str(written))
    variables: JsonObject = {key: value for key, value in args.items() if key not in (*_NAMES, *_GROUPS)}
    if port is not None:
        variables["ansible_ssh_port"] = port
    groups = [str(group) for key in _GROUPS for group in as_list(args.get(key))]
    groups = list(dict.fromkeys(groups))
    changed = call.inventory.add_dynamic_host(name, groups=groups, variables=variables)
    return ActionResult(
        result={"changed": changed, "add_host": {"host_name": name, "groups": groups, "host_vars": variables}}
    )
