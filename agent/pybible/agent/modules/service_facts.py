"""service_facts: the host's services, as facts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules.api import Context, Module, Plan, Unchanged
from pybible.agent.modules.programs import call, locate
from pybible.wire.values import JsonObject

_SYSV = re.compile(r"^ ?\[ ([+-]) \]\s+(\S+)")
_NOT_RUN = ("not-found", "masked", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args:
    """service_facts has no arguments."""


def plan(args: Args, context: Context) -> Plan:
    """Ask; nothing is ever to change."""
    services: JsonObject = {}
    program = locate("service", context)
    if program is not None:
        services |= parse_sysv(call([program, "--status-all"], context).stdout)
    systemctl = locate("systemctl", context)
    if systemctl is not None and any(
        Path(path).exists() for path in ("/run/systemd/system", "/dev/.run/systemd", "/dev/.systemd")
    ):
        options = ["--no-pager", "--type", "service", "--all", "--plain", "--no-legend"]
        units = call([systemctl, "list-units", *options], context)
        files = call([systemctl, "list-unit-files", *options], context)
        services |= parse_systemd(units.stdout, files.stdout)
    if not services:
        msg = "Failed to find any services. This can be due to privileges or some other configuration issue."
        return Unchanged(values={"skipped": True, "msg": msg})
    return Unchanged(values={"ansible_facts": {"services": services}})


def parse_sysv(text: str) -> JsonObject:
    """Return the services of `service --status-all`."""
    found: JsonObject = {}
    for line in text.splitlines():
        matched = _SYSV.match(line)
        if matched is not None:
            state = "running" if matched[1] == "+" else "stopped"
            found[matched[2]] = {"name": matched[2], "state": state, "source": "sysv"}
    return found


def parse_systemd(units: str, files: str) -> JsonObject:
    """Return the services of `systemctl list-units` and `list-unit-files`."""
    found: JsonObject = {}
    for line in units.splitlines():
        fields = line.lstrip("●* ").split()
        if len(fields) < 4 or not fields[0].endswith(".service"):
            continue
        name, load, active, sub = fields[:4]
        state = "running" if sub == "running" else "stopped"
        status = next((word for word in _NOT_RUN if word in (load, active, sub)), "unknown")
        found[name] = {"name": name, "state": "stopped" if status != "unknown" else state, "status": status}
        found[name]["source"] = "systemd"
    for line in files.splitlines():
        fields = line.split()
        if len(fields) < 2 or not fields[0].endswith(".service"):
            continue
        name, status = fields[:2]
        if name in found:
            if found[name]["status"] not in _NOT_RUN:
                found[name]["status"] = status
        else:
            state = "inactive" if name.endswith("@.service") else "stopped"
            found[name] = {"name": name, "state": state, "status": status, "source": "systemd"}
    return found


MODULE = Module(name="service_facts", args=Args, plan=plan)
