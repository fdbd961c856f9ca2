"""packages: which package manager the host uses."""

from __future__ import annotations

from pybible.agent.facts import distribution
from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject

_MANAGERS = (
    ("apt", "/usr/bin/apt-get"),
    ("dnf5", "/usr/bin/dnf5"),
    ("dnf", "/usr/bin/dnf-3"),
    ("dnf", "/usr/bin/dnf"),
    ("yum", "/usr/bin/yum"),
    ("zypper", "/usr/bin/zypper"),
    ("pacman", "/usr/bin/pacman"),
    ("apk", "/sbin/apk"),
    ("portage", "/usr/bin/emerge"),
    ("xbps", "/usr/bin/xbps-install"),
    ("swupd", "/usr/bin/swupd"),
    ("urpmi", "/usr/sbin/urpmi"),
    ("nix", "/run/current-system/sw/bin/nix-env"),
    ("opkg", "/bin/opkg"),
    ("microdnf", "/usr/bin/microdnf"),
    ("atomic_container", "/run/ostree-booted"),
)

# On a host with several, the family's own counts.
_PREFERRED = {
    "Debian": ("apt",),
    "RedHat": ("dnf", "dnf5", "yum", "microdnf"),
    "Suse": ("zypper",),
    "Archlinux": ("pacman",),
    "Alpine": ("apk",),
    "Gentoo": ("portage",),
    "Altlinux": ("apt",),
}


def collect(host: Host) -> JsonObject:
    """Look which programs are there."""
    there = list(dict.fromkeys(name for name, path in _MANAGERS if host.exists(path)))
    if len(there) < 2:
        return {"pkg_mgr": there[0] if there else "unknown"}
    facts = distribution.collect(host)
    preferred = _PREFERRED.get(str(facts["os_family"]), ())
    if facts["distribution"] == "Fedora" and int(facts["distribution_major_version"] or 0) >= 41:
        preferred = ("dnf5", *preferred)
    chosen = next((name for name in preferred if name in there), None)
    return {"pkg_mgr": chosen or there[0]}


COLLECTOR = Collector(name="pkg_mgr", collect=collect, needs=("distribution",), minimal=True)
