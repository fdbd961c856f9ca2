"""registry: the native modules, an explicit list. A module's file is imported when it is first asked for.

Those of ansible.builtin have their short names, those of other collections their full ones.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from pybible.agent.modules.api import Module

_FILES = {
    "apt": "apt",
    "apt_key": "apt_key",
    "apt_repository": "apt_repository",
    "assemble": "assemble",
    "blockinfile": "blockinfile",
    "command": "command",
    "copy": "copy",
    "cron": "cron",
    "deb822_repository": "deb822_repository",
    "debconf": "debconf",
    "dnf": "dnf",
    "dnf5": "dnf5",
    "dpkg_selections": "dpkg_selections",
    "expect": "expect",
    "fetch": "fetch",
    "file": "file",
    "find": "find",
    "get_url": "get_url",
    "getent": "getent",
    "git": "git",
    "group": "group",
    "hostname": "hostname",
    "iptables": "iptables",
    "known_hosts": "known_hosts",
    "lineinfile": "lineinfile",
    "mount_facts": "mount_facts",
    "package": "package",
    "package_facts": "package_facts",
    "ping": "ping",
    "pip": "pip",
    "raw": "raw",
    "replace": "replace",
    "rpm_key": "rpm_key",
    "script": "script",
    "service": "service",
    "service_facts": "service_facts",
    "setup": "setup",
    "shell": "shell",
    "slurp": "slurp",
    "stat": "stat",
    "subversion": "subversion",
    "systemd": "systemd",
    "systemd_service": "systemd",
    "sysvinit": "sysvinit",
    "tempfile": "tempfile",
    "template": "copy",
    "unarchive": "unarchive",
    "uri": "uri",
    "user": "user",
    "wait_for": "wait_for",
    "yum_repository": "yum_repository",
    "ansible.posix.acl": "acl",
    "ansible.posix.at": "at",
    "ansible.posix.authorized_key": "authorized_key",
    "ansible.posix.firewalld": "firewalld",
    "ansible.posix.firewalld_info": "firewalld_info",
    "ansible.posix.mount": "mount",
    "ansible.posix.patch": "patch",
    "ansible.posix.seboolean": "seboolean",
    "ansible.posix.selinux": "selinux",
    "ansible.posix.synchronize": "synchronize",
    "ansible.posix.sysctl": "sysctl",
    "community.general.alternatives": "alternatives",
    "community.general.apk": "apk",
    "community.general.archive": "archive",
    "community.general.filesystem": "filesystem",
    "community.general.git_config": "git_config",
    "community.general.htpasswd": "htpasswd",
    "community.general.ini_file": "ini_file",
    "community.general.locale_gen": "locale_gen",
    "community.general.make": "make",
    "community.general.modprobe": "modprobe",
    "community.general.npm": "npm",
    "community.general.pacman": "pacman",
    "community.general.pam_limits": "pam_limits",
    "community.general.snap": "snap",
    "community.general.timezone": "timezone",
    "community.general.xml": "xml",
    "community.general.ufw": "ufw",
    "community.general.zypper": "zypper",
}

NAMES: tuple[str, ...] = tuple(_FILES)
# Not for playbooks: the engine sends it what is not native.
_INTERNAL = {"async_status": "async_status", "async_wrapper": "async_wrapper", "bridge": "bridge"}


@cache
def find(name: str) -> Module[Any] | None:
    """Return the module of that name, None when there is none."""
    file = _FILES.get(name) or _INTERNAL.get(name)
    if file is None:
        return None
    module: Module[Any] = import_module(f"pybible.agent.modules.{file}").MODULE
    return module


def file_of(name: str) -> str:
    """Return which file of this package has the native module of that name. KeyError when there is none."""
    return _FILES[name]
