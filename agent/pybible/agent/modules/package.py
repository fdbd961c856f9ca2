"""package: installs and removes packages, whatever manages the host's packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pybible.agent.facts import packages
from pybible.agent.facts.source import Host
from pybible.agent.modules import registry
from pybible.agent.modules.api import Context, Module, ModuleError, Plan, arg
from pybible.agent.modules.process import environment_for
from pybible.wire.values import JsonObject

_BUILTIN = ("ansible.builtin.", "ansible.legacy.")
# What ansible-core calls otherwise.
_REDIRECTS = {"yum": "dnf", "yum4": "dnf", "dnf4": "dnf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of package; all others are those of the host's package manager."""

    name: list[str] = arg(doc="packages, as the host's package manager takes them")
    state: str = arg(doc="present, absent, or what else the package manager's module knows")
    use: str = arg(default="auto", doc="the package manager's module; the host's own")


def dispatch(args: JsonObject, context: Context) -> tuple[Module[Any], JsonObject]:
    """Return the module of the host's package manager, and its arguments."""
    manager = str(args.get("use") or "auto")
    if manager == "auto":
        manager = str(packages.collect(Host(environment=environment_for(context.environment)))["pkg_mgr"])
    module = _find(manager)
    if module is None:
        raise ModuleError(f'Could not find a matching action for the "{manager}" package manager.')
    return module, {name: value for name, value in args.items() if name != "use"}


def _find(manager: str) -> Module[Any] | None:
    for prefix in _BUILTIN:
        manager = manager.removeprefix(prefix)
    manager = _REDIRECTS.get(manager, manager)
    if manager == "package":
        return None
    return registry.find(manager) or registry.find(f"community.general.{manager}")


def _plan(args: Args, context: Context) -> Plan:
    raise NotImplementedError("another module takes the task")


MODULE = Module(name="ansible.legacy.package", args=Args, plan=_plan, dispatch=dispatch)
