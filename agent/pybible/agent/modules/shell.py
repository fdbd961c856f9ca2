"""shell: runs a command line through a shell."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pybible.agent.modules import command
from pybible.agent.modules.api import arg


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(command.Args):
    """Arguments of shell: those of command."""

    _uses_shell: bool = arg(default=True)


MODULE = dataclasses.replace(command.MODULE, args=Args)
