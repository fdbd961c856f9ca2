"""services: what manages the host's services: the name of process 1, as far as it can be trusted."""

from __future__ import annotations

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject

_SYSTEMD = ("/run/systemd/system", "/dev/.run/systemd", "/dev/.systemd")

_KNOWN = {"runit-init": "runit", "svscan": "svc", "openrc-init": "openrc", "procd": "openwrt_init"}


def collect(host: Host) -> JsonObject:
    """Read the name of process 1; many call themselves init, and in a container it may be a shell."""
    first = host.text("/proc/1/comm").strip().rsplit("/", 1)[-1]
    if first.endswith("sh"):
        first = ""
    first = _KNOWN.get(first, first)
    if first not in ("", "init"):
        return {"service_mgr": first}
    return {"service_mgr": _by_files(host)}


def _by_files(host: Host) -> str:
    if any(host.exists(path) for path in _SYSTEMD):
        return "systemd"
    if host.exists("/etc/init/") and host.program("initctl"):
        return "upstart"
    if host.exists("/sbin/openrc"):
        return "openrc"
    init = host.path("/sbin/init")
    if init.is_symlink() and init.readlink().name == "systemd":
        return "systemd"
    return "sysvinit" if host.exists("/etc/init.d/") else "service"


COLLECTOR = Collector(name="service_mgr", collect=collect, needs=("platform", "distribution"), minimal=True)
