"""gather_facts: asks the host for its facts."""

from __future__ import annotations

from pybible.server.engine.actions.call import ActionCall, ActionResult, from_outcome


async def run(call: ActionCall) -> ActionResult:
    """Run setup; facts count as such whatever the module says of a change."""
    # What the agent has told by itself are all facts that there are. A task that the playbook writes is run.
    known = call.task.implicit and not call.args
    args = {name: value for name, value in call.args.items() if name != "parallel"}
    # Facts are read, so that check mode asks for them all the same.
    return from_outcome(await call.services.run_module("setup", args, check=False, known_facts=known))
