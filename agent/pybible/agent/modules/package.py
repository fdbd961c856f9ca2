"""package: installs and removes packages, whatever manages the host's packages."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pybible.agent.facts import packages
from pybible.agent.facts.source import Host
from pybible.agent.modules import apt
from pybible.agent.modules.api import Context, Module, ModuleError, Plan, arg
from pybible.agent.modules.process import environment_for

_NATIVE = ("apt",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(apt.Args):
    """Arguments of package: `use`, and those of the host's own manager."""

    use: str = arg(default="auto", internal=True, doc="the package manager's module")


def plan(args: Args, context: Context) -> Plan:
    """Hand the task to the module of the host's package manager."""
    manager = args.use
    if manager == "auto":
        manager = str(packages.collect(Host(environment=environment_for(context.environment)))["pkg_mgr"])
    manager = manager.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")
    if manager not in _NATIVE:
        raise ModuleError(f'Could not find a matching action for the "{manager}" package manager.')
    given = {item.name: getattr(args, item.name) for item in dataclasses.fields(apt.Args)}
    return apt.plan(apt.Args(**given), context)


MODULE = Module(
    name="ansible.legacy.package",
    args=Args,
    plan=plan,
    mutually_exclusive=apt.MODULE.mutually_exclusive,
    exclusive=True,
)
