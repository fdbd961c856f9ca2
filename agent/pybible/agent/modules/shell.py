"""shell: runs a command line through a shell."""

from __future__ import annotations

import dataclasses

from pybible.agent.modules import command
from pybible.agent.modules.api import Context, Plan


def plan(args: command.Args, context: Context) -> Plan:
    """Decide as command does."""
    return command.plan(dataclasses.replace(args, _uses_shell=True), context)


MODULE = dataclasses.replace(command.MODULE, plan=plan)
