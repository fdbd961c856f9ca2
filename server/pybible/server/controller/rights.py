"""rights: what an operator may have run, by role and by the rules of the controller's configuration. Default deny."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pybible.wire.errors import ConfigError
from pybible.wire.identity import OperatorRole
from pybible.wire.tasks import short_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A task for an agent, as far as rights are about it. `become` is empty for the agent's own user."""

    agent: str
    labels: Mapping[str, str]
    module: str
    become: str = ""
    check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What some runners may do. Texts are patterns as for file names; None: it says nothing of that.

    `labels` must all be the agent's. `modules` are names without `ansible.builtin.`.
    """

    name: str
    operators: tuple[str, ...]
    hosts: tuple[str, ...] | None = None
    labels: Mapping[str, str] | None = None
    modules: tuple[str, ...] | None = None
    become: tuple[str, ...] | None = None
    check_only: bool = False

    def names(self, operator: str) -> bool:
        """Tell whether it is about that operator."""
        return _matches(operator, self.operators)

    def objection(self, work: Work) -> str:
        """Return what of the work it does not allow, empty when it allows all of it."""
        if self.hosts is not None and not _matches(work.agent, self.hosts):
            return f"tasks on {work.agent}"
        if self.labels and not self.labels.items() <= work.labels.items():
            return f"tasks on {work.agent}, which has other labels"
        if self.modules is not None and not _matches(work.module, self.modules):
            return f"module '{work.module}'"
        if work.become and self.become is not None and not _matches(work.become, self.become):
            return f"becoming user '{work.become}'"
        return "tasks outside of check mode" if self.check_only and not work.check else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What one operator may do. `rules` are all that there are: where there are some, a runner needs one."""

    operator: str
    role: OperatorRole
    rules: tuple[Rule, ...] = ()

    @property
    def own_rules(self) -> tuple[Rule, ...]:
        """The rules that are about this operator."""
        return tuple(rule for rule in self.rules if rule.names(self.operator))

    def refusal(self, work: Work) -> str:
        """Return why the operator may not have this run, empty when he may."""
        if self.role is OperatorRole.ADMIN:
            return ""
        if self.role is not OperatorRole.RUNNER:
            return f"refused by the controller: the role {self.role} runs nothing"
        if not self.rules:
            return ""
        first = ""
        for rule in self.own_rules:
            objection = rule.objection(work)
            if not objection:
                return ""
            first = first or f"rule '{rule.name}' does not allow {objection}"
        first = first or f"no rule lets operator '{self.operator}' run anything"
        return f"refused by the controller: {first}"


def read_rules(found: object, *, where: str) -> tuple[Rule, ...]:
    """Read the table `rules` of the configuration. ConfigError names the setting that is wrong."""
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: rules must be tables: [rules.NAME]")
    return tuple(_rule(str(name), values, where=f"{where}: [rules.{name}]") for name, values in found.items())


def _rule(name: str, values: object, *, where: str) -> Rule:
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be a table")
    known = [item.name for item in fields(Rule) if item.name != "name"]
    for key in values:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known settings: {', '.join(known)}."
            raise ConfigError(f"{where}: unknown setting {key!r}", hint=hint)
    if "operators" not in values:
        raise ConfigError(f"{where}: operators is missing", hint='Name them: operators = ["alice", "ci-*"].')
    converted = {key: _CONVERT[key](value, f"{where}: {key}") for key, value in values.items()}
    return Rule(name=name, **converted)  # type: ignore[arg-type]  # each converted


def _texts(value: object, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ConfigError(f"{what} must be a list of texts, not {value!r}")
    return tuple(value)


def _modules(value: object, what: str) -> tuple[str, ...]:
    return tuple(map(short_name, _texts(value, what)))


def _labels(value: object, what: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ConfigError(f"{what} must be a table of texts, not {value!r}")
    return value


def _flag(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{what} must be true or false, not {value!r}")
    return value


_CONVERT: Mapping[str, Callable[[object, str], object]] = {
    "operators": _texts,
    "hosts": _texts,
    "labels": _labels,
    "modules": _modules,
    "become": _texts,
    "check_only": _flag,
}


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
