"""security: SELinux, AppArmor, FIPS and this process's capabilities."""

from __future__ import annotations

import ctypes.util

from pybible.agent.facts.source import Collector, Host, whole
from pybible.wire.values import JsonObject


def _selinux(host: Host) -> JsonObject:
    if not host.exists("/sys/fs/selinux/enforce"):
        present = any(host.path(folder).glob("libselinux.so*") for folder in ("/lib64", "/usr/lib64", "/lib"))
        present = present or ctypes.util.find_library("selinux") is not None
        missing: JsonObject = {"status": "Missing selinux Python library"}
        return {"selinux": {"status": "disabled"} if present else missing, "selinux_python_present": present}
    config = dict(
        line.split("=", 1) for line in host.lines("/etc/selinux/config") if "=" in line and not line.startswith("#")
    )
    return {
        "selinux": {
            "status": "enabled",
            "policyvers": whole(host.text("/sys/fs/selinux/policyvers")) or 0,
            "config_mode": config.get("SELINUX", "unknown").strip(),
            "mode": "enforcing" if host.text("/sys/fs/selinux/enforce").strip() == "1" else "permissive",
            "type": config.get("SELINUXTYPE", "unknown").strip(),
        },
        "selinux_python_present": True,
    }


def _apparmor(host: Host) -> JsonObject:
    enabled = host.exists("/sys/kernel/security/apparmor")
    return {"apparmor": {"status": "enabled" if enabled else "disabled"}}


def _fips(host: Host) -> JsonObject:
    return {"fips": host.text("/proc/sys/crypto/fips_enabled").strip() == "1"}


def _capabilities(host: Host) -> JsonObject:
    current = next((line for line in host.run("capsh", "--print").splitlines() if line.startswith("Current:")), "")
    if not current:
        return {}
    shown = current.partition(":")[2].strip()
    if shown in ("=ep", "all=ep"):
        return {"system_capabilities_enforced": "False", "system_capabilities": []}
    names = shown.split("=", 1)[1] if "=" in shown else shown
    return {
        "system_capabilities_enforced": "True",
        "system_capabilities": [name.strip() for name in names.split(",")],
    }


SELINUX = Collector(name="selinux", collect=_selinux, minimal=True)
APPARMOR = Collector(name="apparmor", collect=_apparmor, minimal=True)
FIPS = Collector(name="fips", collect=_fips, minimal=True)
CAPABILITIES = Collector(
    name="caps",
    collect=_capabilities,
    subsets=("system_capabilities", "system_capabilities_enforced"),
    minimal=True,
)
