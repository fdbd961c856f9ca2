"""firewalld_info: tells of firewalld's zones and of what they let through."""

from __future__ import annotations

from dataclasses import dataclass

from pybible.agent.modules import firewall
from pybible.agent.modules.api import Context, Module, ModuleError, Plan, Unchanged, arg
from pybible.wire.values import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """Arguments of firewalld_info."""

    active_zones: bool = arg(default=False, doc="only zones to which something belongs")
    zones: list[str] | None = arg(default=None, doc="only these")


def plan(args: Args, context: Context) -> Plan:
    """Ask firewalld."""
    wall = firewall.find(context)
    if not wall.running:
        raise ModuleError("firewalld is not running, and only a running one can be asked")
    known = wall.tell("--get-zones", permanent=False).split()
    if args.active_zones:
        lines = wall.tell("--get-active-zones", permanent=False).splitlines()
        active = [line.split()[0] for line in lines if line and not line[0].isspace()]
        known = [zone for zone in known if zone in active]
    wanted = known if args.zones is None else [zone for zone in args.zones if zone in known]
    undefined = [] if args.zones is None else [zone for zone in args.zones if zone not in known]
    zones: JsonObject = {
        zone: firewall.parse_zone(wall.tell(f"--zone={zone}", "--list-all", permanent=False)) for zone in wanted
    }
    found: JsonObject = {
        "version": wall.tell("--version", permanent=False),
        "default_zone": wall.tell("--get-default-zone", permanent=False),
        "zones": zones,
    }
    values: JsonObject = {"active_zones": args.active_zones, "collected_zones": wanted, "undefined_zones": undefined}
    return Unchanged(values={**values, "firewalld_info": found})


MODULE = Module(name="ansible.posix.firewalld_info", args=Args, plan=plan)
