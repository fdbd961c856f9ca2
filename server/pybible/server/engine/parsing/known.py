"""known: the names of modules, actions and lookups: what pybible runs, and what Ansible has besides."""

from __future__ import annotations

from typing import Final

# Run on agents.
MODULES: Final = frozenset(
    {
        "apt", "apt_repository", "assemble", "blockinfile", "command", "copy", "cron", "fetch", "file", "find",
        "get_url", "getent", "git", "group", "hostname", "known_hosts", "lineinfile", "package", "package_facts",
        "ping", "pip", "raw", "replace", "script", "service", "service_facts", "setup", "shell", "slurp", "stat",
        "systemd", "systemd_service", "sysvinit", "tempfile", "template", "unarchive", "uri", "user", "wait_for",
    }
)  # fmt: skip
# Run by the engine itself.
ACTIONS: Final = frozenset(
    {
        "add_host", "assert", "async_status", "debug", "fail", "gather_facts", "group_by", "import_role",
        "import_tasks", "include_role", "include_tasks", "include_vars", "meta", "pause", "set_fact", "set_stats",
        "validate_argument_spec", "wait_for_connection",
    }
)  # fmt: skip
SUPPORTED: Final = MODULES | ACTIONS

# Everything else in ansible.builtin of ansible-core 2.19.
NOT_YET: Final = frozenset(
    {
        "apt_key", "deb822_repository", "debconf", "dnf", "dnf5", "dpkg_selections", "expect", "iptables",
        "mount_facts", "reboot", "rpm_key", "subversion", "yum_repository",
    }
)  # fmt: skip

LOOKUPS: Final = frozenset(
    {
        "config", "csvfile", "dict", "env", "file", "fileglob", "first_found", "indexed_items", "ini",
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
    """Return the short name of a module of ansible.builtin or ansible.legacy, any other name as it is."""
    for prefix in _OWN_COLLECTIONS:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name
