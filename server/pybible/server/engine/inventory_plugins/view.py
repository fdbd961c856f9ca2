"""view: an inventory as ansible-inventory shows it: as an inventory script's JSON, as YAML's groups, as a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pybible.server.engine.inventory.groups import Group
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.model.text import Trusted

Variables = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryView:
    """Which hosts, groups and variables there are; values as they are written, not rendered.

    `host_variables` gives all of a host's. `export`: each variable stands where it is defined, at the host or at the
    group. `playbook_dir`: its group_vars count as the groups' own too.
    """

    inventory: Inventory
    host_variables: Callable[[str], Variables]
    export: bool = False
    playbook_dir: Path | None = None

    def variables_of_host(self, name: str) -> Variables:
        """Return what is shown of a host."""
        if self.export:
            return self.inventory.own_host_variables(name, self.playbook_dir)
        return self.host_variables(name)

    def variables_of_group(self, group: Group) -> Variables:
        """Return what is shown of a group."""
        return self.inventory.own_group_variables(group.name, self.playbook_dir)

    def script(self) -> dict[str, object]:
        """Return what an inventory script would print, for the hosts within the limit.

        Text that is data is plain; names are the operator's own.
        """
        hosts = self.inventory.match("all")
        found: dict[str, object] = {}
        self._script_group(self.inventory.groups["all"], set(hosts), found, set())
        host_vars = {name: values for name in hosts if (values := self.variables_of_host(name))}
        found["_meta"] = {"hostvars": host_vars, "profile": Trusted("inventory_legacy")}
        return found

    def _script_group(self, group: Group, hosts: set[str], found: dict[str, object], seen: set[str]) -> None:
        body: dict[str, object] = {}
        if group.name != "all":
            body["hosts"] = [Trusted(name) for name in group.hosts if name in hosts]
        body["children"] = [Trusted(child.name) for child in group.children]
        if self.export:
            body["vars"] = self.variables_of_group(group)
        body = {key: value for key, value in body.items() if value}
        if body:
            found[group.name] = body
        for child in group.children:
            if child.name not in seen:
                seen.add(child.name)
                self._script_group(child, hosts, found, seen)

    def groups(self) -> dict[str, object]:
        """Return the groups inside each other, as a YAML inventory has them, for the hosts within the limit."""
        return self._nested(self.inventory.groups["all"], set(self.inventory.match("all")), set(), set())

    def _nested(self, group: Group, hosts: set[str], seen_groups: set[str], seen_hosts: set[str]) -> dict[str, object]:
        children: dict[str, object] = {}
        for child in group.children:
            if child.name in seen_groups:
                children[child.name] = {}
            else:
                children.update(self._nested(child, hosts, seen_groups, seen_hosts))
                seen_groups.add(child.name)
        members: dict[str, object] = {}
        for name in group.hosts if group.name != "all" else ():
            if name in hosts:
                # A host's variables stand once.
                members[name] = {} if name in seen_hosts else self.variables_of_host(name)
                seen_hosts.add(name)
        body: dict[str, object] = {"children": children, "hosts": members}
        if self.export:
            body["vars"] = self.variables_of_group(group)
        body = {key: value for key, value in body.items() if value}
        return {group.name: body} if body else {}

    def tree(self, group: Group, *, variables: Callable[[Variables], Mapping[str, object]] | None = None) -> str:
        """Return a group and what is below it, indented. `variables`: with them, as that renders their values."""
        return "\n".join(self._lines(group, 0, variables))

    def _lines(
        self, group: Group, depth: int, variables: Callable[[Variables], Mapping[str, object]] | None
    ) -> Iterator[str]:
        yield _indented(f"@{group.name}:", depth)
        depth += 1
        for child in group.children:
            yield from self._lines(child, depth, variables)
        for name in group.hosts if group.name != "all" else ():
            yield _indented(name, depth)
            if variables is not None:
                yield from _listed(variables(self.variables_of_host(name)), depth + 1)
        if variables is not None:
            yield from _listed(variables(self.variables_of_group(group)), depth)


def _indented(text: str, depth: int) -> str:
    return f"{'  |' * depth}--{text}" if depth else text


def _listed(variables: Mapping[str, object], depth: int) -> Iterator[str]:
    for name, value in sorted(variables.items()):
        yield _indented(f"{{{name} = {value}}}", depth)
