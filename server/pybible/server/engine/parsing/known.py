"""known: the names of modules, actions and lookups: what pybible runs, and what Ansible has besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Run on agents: those of ansible.builtin.
_BUILTIN: Final = frozenset(
    {
        "apt", "apt_key", "apt_repository", "assemble", "blockinfile", "command", "copy", "cron",
        "deb822_repository", "debconf", "dnf", "dnf5", "dpkg_selections", "expect", "fetch", "file", "find",
        "get_url", "getent", "git", "group", "hostname", "iptables", "known_hosts", "lineinfile", "mount_facts",
        "package", "package_facts", "ping", "pip", "raw", "replace", "rpm_key", "script", "service", "service_facts",
        "setup", "shell", "slurp", "stat", "subversion", "systemd", "systemd_service", "sysvinit", "tempfile",
        "template", "unarchive", "uri", "user", "wait_for", "yum_repository",
    }
)  # fmt: skip
# Those of collections, by the collection's name. A task's `action`, and the agents' registry, have their full names.
COLLECTIONS: Final[Mapping[str, frozenset[str]]] = {
    "ansible.posix": frozenset(
        {
            "acl", "at", "authorized_key", "firewalld", "firewalld_info", "mount", "patch", "seboolean", "selinux",
            "synchronize", "sysctl",
        }
    ),
    "community.general": frozenset(
        {
            "alternatives", "apk", "archive", "filesystem", "git_config", "htpasswd", "ini_file", "locale_gen",
            "make", "modprobe", "npm", "pacman", "pam_limits", "snap", "timezone", "ufw", "xml", "zypper",
        }
    ),
}  # fmt: skip
# Run by the engine itself.
ACTIONS: Final = frozenset(
    {
        "add_host", "assert", "async_status", "debug", "fail", "gather_facts", "group_by", "import_role",
        "import_tasks", "include_role", "include_tasks", "include_vars", "meta", "pause", "reboot", "set_fact",
        "set_stats", "validate_argument_spec", "wait_for_connection",
    }
)  # fmt: skip
# Made when there were collections: their short names never meant them.
_NEVER_SHORT: Final = frozenset({"firewalld_info"})
# The short names that the others had before mean them still.
_MOVED: Final[Mapping[str, str]] = {
    name: f"{collection}.{name}" for collection, names in COLLECTIONS.items() for name in names - _NEVER_SHORT
}
_REDIRECTS: Final[Mapping[str, str]] = {"yum": "dnf", **_MOVED}
MODULES: Final = _BUILTIN | {f"{collection}.{name}" for collection, names in COLLECTIONS.items() for name in names}
SUPPORTED: Final = MODULES | ACTIONS

LOOKUPS: Final = frozenset(
    {
        "config", "csvfile", "dict", "env", "file", "fileglob", "first_found", "flattened", "indexed_items", "ini",
        "inventory_hostnames", "items", "lines", "list", "nested", "password", "pipe", "random_choice", "sequence",
        "subelements", "template", "together", "unvault", "url", "varnames", "vars",
    }
)  # fmt: skip

# Text after the module's name is a command, in which only CREATES, ... are taken for options.
COMMANDS: Final = frozenset({"command", "raw", "script", "shell"})
COMMAND_OPTIONS: Final = frozenset(
    {"creates", "removes", "chdir", "executable", "warn", "stdin", "stdin_add_newline", "strip_empty_ends"}
)
# Modules for which text that is not k=v means something: the others refuse `_raw_params`.
FREE_FORM: Final = COMMANDS | {
    "add_host", "group_by", "import_role", "import_tasks", "include_role", "include_tasks", "include_vars", "meta",
    "set_fact",
}  # fmt: skip

INCLUDES: Final = frozenset({"include_tasks", "include_role"})
IMPORTS: Final = frozenset({"import_tasks", "import_role"})

META: Final = frozenset(
    {
        "noop", "flush_handlers", "refresh_inventory", "clear_facts", "clear_host_errors", "end_play", "end_batch",
        "end_host", "end_role", "reset_connection",
    }
)  # fmt: skip

_OWN_COLLECTIONS: Final = ("ansible.builtin.", "ansible.legacy.")


def canonical(name: str) -> str:
    """Return a module's own name: the short one in ansible.builtin and ansible.legacy, the full one elsewhere.

    A short name that ansible-core redirects to a collection stands for the module there.
    """
    for prefix in _OWN_COLLECTIONS:
        name = name.removeprefix(prefix)
    return _REDIRECTS.get(name, name)
