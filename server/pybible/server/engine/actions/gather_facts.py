"""gather_facts: asks the host for its facts."""

from __future__ import annotations

from pybible.server.engine.actions.call import ActionCall, ActionResult, from_outcome


async def run(call: ActionCall) -> ActionResult:
    """Run setup; facts count as such whatever the module says of a change."""
    args = {name: value for name, value in call.args.items() if name != "parallel"}
    # Facts are read, so that check mode asks for them all the same.
    return from_outcome(await call.services.run_module("setup", args, check=False))
