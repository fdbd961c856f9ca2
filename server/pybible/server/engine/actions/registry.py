"""registry: the actions that the engine runs itself, an explicit list. Everything else is a module on the host."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pybible.server.engine.actions import (
    add_host,
    assemble,
    assertion,
    async_status,
    copy,
    debug,
    fail,
    fetch,
    gather_facts,
    group_by,
    include_vars,
    package,
    patch,
    pause,
    reboot,
    script,
    set_fact,
    set_stats,
    synchronize,
    template,
    unarchive,
    validate_argument_spec,
    wait_for_connection,
)
from pybible.server.engine.actions.call import Action

ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "add_host": add_host.run,
        "ansible.posix.patch": patch.run,
        "ansible.posix.synchronize": synchronize.run,
        "assemble": assemble.run,
        "assert": assertion.run,
        "async_status": async_status.run,
        "copy": copy.run,
        "debug": debug.run,
        "fail": fail.run,
        "fetch": fetch.run,
        "gather_facts": gather_facts.run,
        "group_by": group_by.run,
        "include_vars": include_vars.run,
        "package": package.run,
        "pause": pause.run,
        "reboot": reboot.run,
        "script": script.run,
        "set_fact": set_fact.run,
        "set_stats": set_stats.run,
        "template": template.run,
        "unarchive": unarchive.run,
        "validate_argument_spec": validate_argument_spec.run,
        "wait_for_connection": wait_for_connection.run,
    }
)

# They run once for all hosts of a batch, whatever run_once says.
ONCE_FOR_ALL: Final = frozenset({"add_host", "pause"})
INCLUDES: Final = frozenset({"include_tasks", "include_role"})
META: Final = "meta"
# Arguments that are expressions: the action evaluates them, rendering would take their trust away.
EXPRESSIONS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"assert": frozenset({"that"}), "debug": frozenset({"var"})}
)
# They take no free text.
TAKES_NO_TEXT: Final = frozenset(ACTIONS) - {"include_vars", "script"}
