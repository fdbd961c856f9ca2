"""distribution: which system it is, in Ansible's names."""

from __future__ import annotations

import re

import distro

from pybible.agent.facts.source import Collector, Host
from pybible.wire.values import JsonObject

# os-release's ID -> Ansible's name.
_NAMES = {
    "almalinux": "AlmaLinux", "alpine": "Alpine", "altlinux": "Altlinux", "amzn": "Amazon", "arch": "Archlinux",
    "archarm": "Archlinux", "centos": "CentOS", "clear-linux-os": "Clear Linux OS", "cloudlinux": "CloudLinux",
    "debian": "Debian", "deepin": "Deepin", "devuan": "Devuan", "elementary": "Elementary", "endeavouros":
    "EndeavourOS", "fedora": "Fedora", "flatcar": "Flatcar", "gentoo": "Gentoo", "kali": "Kali",
    "linuxmint": "Linux Mint", "mageia": "Mageia", "manjaro": "Manjaro", "nixos": "NixOS", "ol": "OracleLinux",
    "openeuler": "openEuler", "opensuse-leap": "openSUSE Leap", "opensuse-tumbleweed": "openSUSE Tumbleweed",
    "parrot": "Parrot", "pop": "Pop!_OS", "raspbian": "Debian", "rhel": "RedHat", "rocky": "Rocky",
    "scientific": "Scientific", "sled": "SLED", "sles": "SLES", "sles_sap": "SLES_SAP", "slackware": "Slackware",
    "ubuntu": "Ubuntu", "uos": "UnionTech", "virtuozzo": "Virtuozzo", "void": "Void", "zorin": "Zorin OS",
}  # fmt: skip

_FAMILIES = {
    "RedHat": {
        "AlmaLinux", "Amazon", "CentOS", "CloudLinux", "Fedora", "OracleLinux", "RedHat", "Rocky", "Scientific",
        "Virtuozzo", "openEuler",
    },
    "Debian": {
        "Debian", "Deepin", "Devuan", "Elementary", "Kali", "Linux Mint", "Parrot", "Pop!_OS", "Ubuntu", "UnionTech",
        "Zorin OS",
    },
    "Suse": {"SLED", "SLES", "SLES_SAP", "openSUSE Leap", "openSUSE Tumbleweed"},
    "Archlinux": {"Archlinux", "EndeavourOS", "Manjaro"},
    "ClearLinux": {"Clear Linux OS"},
    "Mandrake": {"Mageia"},
}  # fmt: skip

# The file that tells most, and what such files are called, by family and then by name.
_FILES = {
    "CentOS": ("/etc/centos-release", "CentOS"),
    "OracleLinux": ("/etc/oracle-release", "OracleLinux"),
    "Alpine": ("/etc/alpine-release", "Alpine"),
    "Amazon": ("/etc/os-release", "Amazon"),
    "RedHat": ("/etc/redhat-release", "RedHat"),
    "Debian": ("/etc/os-release", "Debian"),
    "Suse": ("/etc/os-release", "SUSE"),
    "Archlinux": ("/etc/arch-release", "Archlinux"),
    "Flatcar": ("/etc/os-release", "Flatcar"),
    "Gentoo": ("/etc/gentoo-release", "NA"),
}


def collect(host: Host) -> JsonObject:
    """Read os-release and its older relatives."""
    found = distro.LinuxDistribution(include_lsb=False, include_uname=False, root_dir=str(host.root))
    identifier = found.os_release_attr("id") or found.id()
    name = _NAMES.get(identifier, found.name() or "Linux")
    family = next((family for family, names in _FAMILIES.items() if name in names), name)
    version = _version(host, found, identifier)
    facts: JsonObject = {
        "distribution": name,
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0] if version else "NA",
        "distribution_release": _release(host, found, name),
        "os_family": family,
    }
    if "." in version and name not in ("openSUSE Tumbleweed", "Archlinux"):
        facts["distribution_minor_version"] = version.split(".")[1]
    path, variety = _FILES.get(name) or _FILES.get(family) or ("/etc/os-release", "NA")
    if host.exists(path):
        facts["distribution_file_path"] = path
        facts["distribution_file_variety"] = variety
        facts["distribution_file_parsed"] = True
    return facts


def _version(host: Host, found: distro.LinuxDistribution, identifier: str) -> str:
    if identifier == "alpine":
        return host.text("/etc/alpine-release").strip() or found.version()
    if identifier in ("arch", "archarm", "manjaro", "void"):
        return found.version() or "NA"
    if identifier == "centos" and "Stream" in host.text("/etc/centos-release"):
        return found.version()
    return found.version(best=True) or "NA"


def _release(host: Host, found: distro.LinuxDistribution, name: str) -> str:
    if name == "CentOS" and "Stream" in host.text("/etc/centos-release"):
        return "Stream"
    codename = found.os_release_attr("version_codename")
    if codename:
        return str(codename)
    shown = re.search(r"\(([^()]+)\)", host.text("/etc/redhat-release"))
    if shown:
        return shown[1]
    return found.codename() or "NA"


COLLECTOR = Collector(
    name="distribution",
    collect=collect,
    subsets=("distribution_major_version", "distribution_release", "distribution_version", "os_family"),
    minimal=True,
)
