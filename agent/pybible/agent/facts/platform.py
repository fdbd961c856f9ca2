"""platform: kernel, architecture, and what the host calls itself."""

from __future__ import annotations

import os
import platform
import re
import socket
import struct

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject


def collect(host: Host) -> JsonObject:
    """Ask the kernel."""
    system, node, release, version, machine = os.uname()
    fqdn = socket.getfqdn()
    bits = f"{struct.calcsize('P') * 8}"
    facts: JsonObject = {
        "system": system,
        "kernel": release,
        "kernel_version": version,
        "machine": machine,
        "architecture": _architecture(machine),
        "userspace_bits": bits,
        "userspace_architecture": _userspace(machine, bits),
        "python_version": platform.python_version(),
        "nodename": node,
        "hostname": node.split(".")[0],
        "fqdn": fqdn,
        "domain": ".".join(fqdn.split(".")[1:]),
    }
    machine_id = host.text("/var/lib/dbus/machine-id") or host.text("/etc/machine-id")
    if machine_id:
        facts["machine_id"] = machine_id.splitlines()[0]
    return facts


def _architecture(machine: str) -> str:
    return "i386" if re.fullmatch(r"i([3456]86|86pc)", machine) else machine


def _userspace(machine: str, bits: str) -> str:
    if machine == "x86_64" and bits == "32":
        return "i386"
    return _architecture(machine)


COLLECTOR = Collector(
    name="platform",
    collect=collect,
    subsets=(
        "architecture", "kernel", "kernel_version", "machine", "machine_id", "python_version", "system",
    ),
    minimal=True,
)  # fmt: skip
