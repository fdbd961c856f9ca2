"""set_fact: sets variables of a host for the rest of the run."""

from __future__ import annotations

import keyword
import re

from pybible.server.engine.actions.arguments import as_bool
from pybible.server.engine.actions.call import ActionCall, ActionFailed, ActionResult, FactsLevel
from pybible.server.engine.model.text import origin_of
from pybible.wire.errors import TemplateError
from pybible.wire.values import JsonObject

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_RULE = (
    "Variable names must be strings starting with a letter or underscore character, and contain only letters, numbers "
    "and underscores."
)


async def run(call: ActionCall) -> ActionResult:
    """Set every argument but `cacheable`."""
    facts: JsonObject = {}
    cacheable = as_bool(call.args.get("cacheable"), name="cacheable")
    for name, value in call.args.items():
        if name == "cacheable":
            continue
        # A name may be a template too.
        name = call.templar.render_text(_written(call, name))
        if not is_name(name):
            raise TemplateError(f"Invalid variable name {name!r}.", origin=origin_of(_written(call, name)), hint=_RULE)
        facts[name] = value
    if not facts:
        raise ActionFailed("No key/value pairs provided, at least one is required for this action to succeed")
    return ActionResult(
        result={"changed": False, "ansible_facts": facts},
        facts_level=FactsLevel.SET_FACT,
        cacheable=cacheable,
    )


def is_name(text: str) -> bool:
    """Whether a variable may be called so."""
    return _NAME.match(text) is not None and not keyword.iskeyword(text)


def _written(call: ActionCall, name: str) -> str:
    """Return the argument's name as the file has it: it knows its place, and whether it may be a template."""
    return next((key for key in call.task.args if key == name), name)
