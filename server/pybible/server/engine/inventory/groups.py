"""groups: the hosts and groups that an inventory is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

# What Ansible itself takes for this machine when the inventory does not name it.
LOCALHOST: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_NAME = re.compile(r"[\W]|^\d")


def safe_name(group: str) -> str:
    """Return a group's name with `_` for what could not be in a variable's."""
    return _NAME.sub("_", group)


def has_odd_characters(group: str) -> bool:
    """Whether a group's name could not be a variable's: it works, but Ansible warns of it."""
    return _NAME.search(group) is not None


@dataclass(slots=True, eq=False)
class Host:
    """One host. `vars` are those of the inventory itself (files and add_host), `groups` those that name it."""

    name: str
    vars: dict[str, object] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    # Made on demand for localhost: in no group, not in `all`.
    implicit: bool = False
    # The inventory source that named it first.
    source: str | None = None


@dataclass(slots=True, eq=False)
class Group:
    """One group. `vars` are those of the inventory itself; `priority` decides between groups of the same depth."""

    name: str
    vars: dict[str, object] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    children: list[Group] = field(default_factory=list)
    parents: list[Group] = field(default_factory=list)
    priority: int = 1
    depth: int = 0

    def ancestors(self) -> list[Group]:
        """Return every group above this one, each once."""
        return _walk(self, "parents")

    def descendants(self) -> list[Group]:
        """Return every group below this one, nearer ones first, each once."""
        return _walk(self, "children")

    def all_hosts(self) -> list[Host]:
        """Return the hosts of this group and of all below it, in inventory order, each once."""
        found = dict(self.hosts)
        for group in self.descendants():
            for name, host in group.hosts.items():
                found.setdefault(name, host)
        return list(found.values())

    def deepen(self) -> int:
        """Carry this group's depth on to the groups below it; return that of the deepest that has a new one."""
        deepest = self.depth
        for child in self.children:
            if child.depth <= self.depth:
                child.depth = self.depth + 1
                deepest = max(deepest, child.deepen())
        return deepest

    @property
    def merge_key(self) -> tuple[int, int, str]:
        """What decides in which order groups' variables are merged, later ones win."""
        return self.depth, self.priority, self.name


def _walk(start: Group, relation: str) -> list[Group]:
    seen: dict[str, Group] = {}
    level: list[Group] = [start]
    while level:
        following: list[Group] = []
        for group in level:
            near = group.parents if relation == "parents" else group.children
            for other in near:
                if other.name not in seen:
                    seen[other.name] = other
                    following.append(other)
        level = following
    return list(seen.values())
