"""rights: what an operator may have run, by role and by the rules of the controller's configuration. Default deny."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from pybible.wire.errors import ConfigError
from pybible.wire.identity import OperatorRole
from pybible.wire.tables import Convert, flag, module_names, named_tables, read_table, table_of_texts, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A task for an agent, as far as rights are about it. `become` is empty for the agent's own user."""

    agent: str
    labels: Mapping[str, str]
    module: str
    become: str = ""
    check: bool = False
    # A module of the operator's own, under the name of one that the agent has.
    replaces: bool = False
    # By what else than sudo, with ordinary flags, a user is become.
    by: str = ""


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
        if self.modules is not None and work.replaces:
            return f"a module '{work.module}' other than the agent's own"
        if work.by and (self.modules is not None or self.become is not None):
            return f"becoming a user by {work.by}"
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
    tables = named_tables(found, "rules", where=where)
    return tuple(_rule(name, values, where=place) for name, (values, place) in tables.items())


def _rule(name: str, found: object, *, where: str) -> Rule:
    values = read_table(found, _SETTINGS, where=where)
    if "operators" not in values:
        raise ConfigError(f"{where}: operators is missing", hint='Name them: operators = ["alice", "ci-*"].')
    return Rule(name=name, **values)


_SETTINGS: Mapping[str, Convert] = {
    "operators": texts,
    "hosts": texts,
    "labels": table_of_texts,
    "modules": module_names,
    "become": texts,
    "check_only": flag,
}


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
