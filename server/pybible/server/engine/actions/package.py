"""package: says which package manager's module a host is to use, where a variable names it."""

from __future__ import annotations

from pybible.server.engine.actions.call import ActionCall, ActionResult, from_outcome

_VARIABLE = "ansible_package_use"


async def run(call: ActionCall) -> ActionResult:
    """Run the host's module: without a name the host looks which one is its own."""
    arguments = dict(call.args)
    named = call.templar.variables.get(_VARIABLE)
    if arguments.get("use", "auto") == "auto" and named:
        arguments["use"] = call.templar.render(named)
    return from_outcome(await call.services.run_module("package", arguments))
