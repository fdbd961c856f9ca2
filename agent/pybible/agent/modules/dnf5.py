"""dnf5: installs, upgrades and removes packages of Fedora and its kin, by dnf5 and rpm alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pybible.agent.modules import dnf
from pybible.agent.modules.api import Context, Module, Plan, arg


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(dnf.Args):
    """Arguments of dnf5."""

    auto_install_module_deps: bool = arg(default=True, doc="nothing to install here: accepted as it is")
    use_backend: Literal["auto", "dnf", "yum", "yum4", "dnf4", "dnf5"] = arg(default="dnf5", internal=True)


def plan(args: Args, context: Context) -> Plan:
    """As dnf, by dnf5's command line."""
    return dnf.plan(args, context)


MODULE = Module(name="dnf5", args=Args, plan=plan, mutually_exclusive=dnf.MODULE.mutually_exclusive, exclusive=True)
