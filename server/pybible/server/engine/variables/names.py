"""names: words of the language, which are no good names for variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from pybible.server.engine.model.notices import located
from pybible.server.engine.model.text import origin_of

# Words of the language: keywords of plays, blocks and tasks, and names that templates know. A variable of such a name
# works, but is seldom what was meant.
RESERVED: Final = frozenset(
    {
        "action", "always", "any_errors_fatal", "args", "async", "become", "become_exe", "become_flags",
        "become_method", "become_user", "block", "changed_when", "check_mode", "collections", "connection",
        "debugger", "delay", "delegate_facts", "delegate_to", "diff", "environment", "fact_path", "failed_when",
        "force_handlers", "gather_facts", "gather_subset", "gather_timeout", "handlers", "hosts", "ignore_errors",
        "ignore_unreachable", "listen", "local_action", "loop", "loop_control", "max_fail_percentage",
        "module_defaults", "name", "no_log", "notify", "order", "poll", "port", "post_tasks", "pre_tasks",
        "register", "remote_user", "rescue", "retries", "roles", "run_once", "serial", "strategy", "tags", "tasks",
        "throttle", "timeout", "until", "vars", "vars_files", "vars_prompt", "when", "with_",
        "lookup", "query", "q", "now", "undef", "omit", "hostvars", "groups", "group_names", "inventory_hostname",
        "inventory_hostname_short", "playbook_dir", "ansible_facts", "ansible_play_hosts", "ansible_version",
    }
)  # fmt: skip
# ... of which these are commonly used as variables all the same.
_ACCEPTED: Final = frozenset({"ansible_facts"})


def warn_reserved(names: Iterable[object], warn: Callable[[str], None]) -> None:
    """Warn about names that are words of the language."""
    for name in names:
        if name in RESERVED and name not in _ACCEPTED:
            warn(located(f"Found variable using reserved name '{name}'.", origin_of(name)))
