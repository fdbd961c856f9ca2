"""unproven: keywords of a task that must fit before it runs, whether or not anything asks for their value."""

from __future__ import annotations

from typing import Final, TypeAlias

from pybible.server.engine.model.play import Task
from pybible.server.engine.model.text import is_template
from pybible.server.engine.parsing import keywords

# In the order in which ansible-core looks at them. `delegate_to` and `environment` have places of their own.
_INHERITED: Final = (
    "delegate_facts", "connection", "port", "remote_user", "no_log", "run_once", "ignore_errors", "ignore_unreachable",
    "check_mode", "diff", "any_errors_fatal", "throttle", "timeout", "debugger", "become", "become_method",
    "become_user", "become_flags", "become_exe",
)  # fmt: skip
# What `debugger` may be, in the order of ansible-core's message.
DEBUGGER: Final = ("on_skipped", "never", "on_unreachable", "always", "on_failed")

# A keyword, its kind and its value.
Unproven: TypeAlias = tuple[str, str, object]


def unproven(task: Task) -> tuple[Unproven, ...]:
    """Return the keywords of which the file alone does not say that they fit."""
    written: list[Unproven] = [("notify", keywords.LIST, task.keywords.notify or None)]
    written += [(name, keywords.TASK[name], task.keywords.get(name)) for name in _INHERITED]
    written += [
        ("async_val", keywords.INT, task.async_),
        ("delay", keywords.FLOAT, task.delay),
        ("poll", keywords.INT, task.poll),
        ("retries", keywords.INT, task.retries),
    ]
    return tuple((name, kind, value) for name, kind, value in written if not _fits(name, kind, value))


def _fits(name: str, kind: str, value: object) -> bool:
    if value is None:
        return True
    if kind == keywords.BOOL:
        return isinstance(value, bool)
    if kind in (keywords.INT, keywords.FLOAT):
        return isinstance(value, int) or (kind == keywords.FLOAT and isinstance(value, float))
    if isinstance(value, list | tuple):
        return not any(is_template(item) for item in value)
    return not is_template(value) and (name != "debugger" or value in DEBUGGER)
