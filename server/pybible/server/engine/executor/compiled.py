"""compiled: what can be known of a task once for all hosts, so that a host-task only does what differs.

A keyword without a template has its value here; one with a template is rendered for each host.
"""

from __future__ import annotations

from collections.abc import Mapping

from pybible.server.engine.actions import bridge
from pybible.server.engine.actions.call import Action
from pybible.server.engine.actions.registry import ACTIONS, EXPRESSIONS, INCLUDES, META, ONCE_FOR_ALL, TAKES_NO_TEXT
from pybible.server.engine.executor.unproven import unproven
from pybible.server.engine.model.play import Task
from pybible.server.engine.model.text import Trusted, Vaulted, is_template, origin_of
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.lazy import type_name
from pybible.server.engine.templating.templar import Templar
from pybible.server.engine.templating.undefined import OMIT
from pybible.wire.errors import SourceError, TemplateError
from pybible.wire.values import dumps

# In Ansible the action itself runs these: its failures are not a module's.
_LOW_LEVEL = frozenset({"raw", "script"})
# Keywords that only matter where they are set.
_BECOME = frozenset({"become", "become_user", "become_method", "become_flags", "become_exe"})


class CompiledTask:
    """A task with everything that does not depend on a host."""

    __slots__ = (
        "action",
        "always_once",
        "args_json",
        "become_keywords",
        "delegate_to",
        "environment",
        "expressions",
        "has_conditions",
        "has_defaults",
        "implementation",
        "include",
        "low_level",
        "meta",
        "module_defaults",
        "module_is_template",
        "name_is_plain",
        "notify",
        "static_args",
        "task",
        "timeout",
        "unproven",
        "written_name",
    )

    def __init__(self, task: Task, engine: TemplateEngine) -> None:
        keywords = task.keywords
        self.task = task
        self.action = task.action
        self.module_is_template = is_template(task.action_written)
        self.implementation: Action | None = ACTIONS.get(task.action) if task.bridged is None else bridge.run
        self.include = task.action in INCLUDES
        self.low_level = task.action in _LOW_LEVEL
        self.meta = task.action == META
        self.always_once = task.action in ONCE_FOR_ALL
        self.expressions = EXPRESSIONS.get(task.action, frozenset())
        self.written_name = task.name or _default_name(task)
        # A name made from the task's arguments is shown as written.
        self.name_is_plain = not (task.name and is_template(self.written_name))
        self.delegate_to = keywords.get("delegate_to")
        self.environment = tuple(level for level in keywords.environment if level)
        self.become_keywords = {name: keywords.get(name) for name in _BECOME if keywords.get(name) is not None}
        self.module_defaults = defaults_for(task)
        self.has_defaults = bool(self.module_defaults)
        self.has_conditions = bool(task.changed_when or task.failed_when or task.has_until or task.retries is not None)
        self.notify = keywords.notify
        self.timeout = keywords.get("timeout")
        self.unproven = unproven(task)
        self.static_args: dict[str, object] | None = None
        self.args_json = b""
        if task.args_template is None and not self.has_defaults and is_static(task.args):
            rendered = Templar(engine).render_args(task.args)
            # Expressions stay as written: they are evaluated, not rendered.
            self.static_args = {**rendered, **{name: task.args[name] for name in self.expressions if name in task.args}}
            if self.implementation is None and not self.include and not self.meta:
                self.args_json = dumps(self.static_args)

    def keyword(self, name: str) -> object:
        """Return an inherited keyword as written."""
        return self.task.keywords.get(name)

    def default_args(self, templar: Templar) -> dict[str, object]:
        """Return what module_defaults give to the action, not yet rendered. Raises TemplateError."""
        args: dict[str, object] = {}
        for defaults in self.module_defaults:
            values = defaults if isinstance(defaults, Mapping) else templar.render(defaults)
            if not isinstance(values, Mapping):
                text = f"the module_defaults of an action must be a dictionary, not {type(values).__name__}"
                raise TemplateError(text, origin=self.task.origin)
            args.update(values)
        return args

    def template_args(self, templar: Templar) -> dict[str, object]:
        """Return the arguments that one template yields as a whole. Raises TemplateError."""
        written = self.task.args_template
        failed = f"Finalization of task args for {qualified(self.action)!r} failed"
        try:
            found = templar.render(written)
            if found is OMIT:
                return {}
            if not isinstance(found, Mapping):
                text = f"Task args must resolve to a 'dict' not {type_name(found)!r}."
                raise TemplateError(text, origin=origin_of(written))
        except SourceError as error:
            raise TemplateError(failed, origin=origin_of(self.task.action_written)) from error
        return {str(name): value for name, value in found.items()}

    def check_module(self) -> None:
        """Fail for a module that is not there, or not all of it. Raises TemplateError."""
        bridged = self.task.bridged
        if bridged is not None and bridged.lacking:
            raise TemplateError(bridged.lacking, origin=origin_of(self.task.action_written))

    def check_text(self) -> None:
        """Fail for free text that the action can't take. Raises TemplateError."""
        if self.action in TAKES_NO_TEXT and "_raw_params" in self.task.args:
            text = f"Action '{qualified(self.action)}' does not support raw params."
            raise TemplateError(text, origin=self.task.origin)


def is_static(value: object) -> bool:
    """Whether rendering a value can't depend on anything."""
    if isinstance(value, Trusted):
        return not is_template(value)
    if isinstance(value, Vaulted):
        return False
    if isinstance(value, Mapping):
        return all(is_static(key) and is_static(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(is_static(item) for item in value)
    return True


def qualified(action: str) -> str:
    """Return an action's full name."""
    return action if "." in action else f"ansible.builtin.{action}"


def defaults_for(task: Task) -> tuple[object, ...]:
    """Return the module_defaults that are meant for the task's action, as written: what comes later wins.

    An inner level's entry takes the place of an outer one for the same module or group; a module's own come last.
    """
    merged: dict[str, object] = {}
    for level in task.keywords.module_defaults:
        for entry in level if isinstance(level, list | tuple) else [level]:
            if isinstance(entry, Mapping):
                merged.update((str(name), value) for name, value in entry.items())
    found = [merged[name] for name in merged if name in task.default_groups]
    for name in dict.fromkeys((task.action, task.bridged.name if task.bridged is not None else task.action)):
        found += [merged[name]] if name in merged else []
    return tuple(value for value in found if value is not None)


def _default_name(task: Task) -> str:
    if task.action == "include_role":
        role = task.args.get("name", task.args.get("role"))
        return type(task.action_written)(f"{task.action_written} : {role}") if role else task.action_written
    return task.action_written
