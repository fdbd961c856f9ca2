"""keywords: what applies to a task from the keywords of its play, roles and blocks, each level on top of its parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# Inherited keywords whose innermost value wins. The others are merged, each in its own way, by `Keywords.child`.
INHERITED = frozenset(
    {
        "connection", "port", "remote_user", "become", "become_user", "become_method", "become_flags", "become_exe",
        "no_log", "run_once", "ignore_errors", "ignore_unreachable", "check_mode", "diff", "any_errors_fatal",
        "throttle", "timeout", "debugger", "collections", "delegate_to", "delegate_facts",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class VarsLayer:
    """Variables that one level adds. `level` names it for the precedence table: block, task, role_params, include."""

    level: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keywords:
    """What applies at one place of a play. Everything is as written (unrendered), outer levels first."""

    # All must hold.
    when: tuple[object, ...] = ()
    tags: tuple[str, ...] = ()
    vars: tuple[VarsLayer, ...] = ()
    environment: tuple[object, ...] = ()
    module_defaults: tuple[object, ...] = ()
    notify: tuple[object, ...] = ()
    # How many include_tasks and include_role lead here.
    includes: int = 0
    # Keywords of INHERITED that are set somewhere.
    values: Mapping[str, object] = field(default_factory=dict)

    def get(self, name: str, default: object = None) -> object:
        """Return the innermost value of an inherited keyword, as written."""
        return self.values.get(name, default)

    def child(
        self,
        *,
        when: tuple[object, ...] = (),
        tags: tuple[str, ...] = (),
        vars: VarsLayer | None = None,
        environment: object = None,
        module_defaults: object = None,
        notify: tuple[object, ...] = (),
        values: Mapping[str, object] | None = None,
    ) -> Keywords:
        """Return what applies one level further in."""
        added = tuple(tag for tag in tags if tag not in self.tags)
        return Keywords(
            when=self.when + when,
            tags=self.tags + added,
            vars=self.vars if vars is None or not vars.values else (*self.vars, vars),
            environment=self.environment if environment is None else (*self.environment, environment),
            module_defaults=self.module_defaults
            if module_defaults is None
            else (*self.module_defaults, module_defaults),
            notify=self.notify + notify,
            includes=self.includes,
            values={**self.values, **values} if values else self.values,
        )


NO_KEYWORDS = Keywords()
