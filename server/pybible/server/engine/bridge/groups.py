"""groups: the groups of actions that `module_defaults` may name: `group/aws`, `group/ns.coll.name`."""

from __future__ import annotations

from pathlib import Path

from pybible.server.engine.bridge.finder import BridgeError, Finder

_BUILTIN = "ansible.builtin"


def full_name(group: str) -> str:
    """Return a group's full name: one without a collection is ansible-core's own."""
    return group if group.count(".") >= 2 else f"{_BUILTIN}.{group}"


class ActionGroups:
    """Finds the members of groups, as seen from a playbook's folder."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._known: dict[tuple[str, Path], tuple[str, ...]] = {}

    def members(self, group: str, *, directory: Path) -> tuple[str, ...] | None:
        """Return the full names of a group's actions, None when there is no such group here.

        `group` is a full name. What a group extends need not be here.
        """
        key = (group, directory)
        if key not in self._known:
            written = self._written(group, directory)
            if written is None:
                return None
            collection = ".".join(group.split(".")[:2])
            own = [
                self._full_name(_within(entry, collection), directory) for entry in written if isinstance(entry, str)
            ]
            # Before what it extends: groups may extend one another.
            self._known[key] = tuple(own)
            for other in _extended(written):
                own += self.members(_within(other, collection), directory=directory) or ()
            self._known[key] = tuple(dict.fromkeys(own))
        return self._known[key]

    def _written(self, group: str, directory: Path) -> list[object] | None:
        namespace, collection, name = group.split(".", 2)
        routing = self._finder.routing_of(f"{namespace}.{collection}", directory=directory)
        groups = {} if routing is None else routing.action_groups()
        entry = groups.get(group, groups.get(name))
        return entry if isinstance(entry, list) else None

    def _full_name(self, name: str, directory: Path) -> str:
        """Return where a name leads: modules move from collection to collection."""
        try:
            module = self._finder.find(name, directory=directory)
        except BridgeError:
            return name
        return name if module is None else module.name


def _within(name: str, collection: str) -> str:
    return name if name.count(".") >= 2 else f"{collection}.{name}"


def _extended(written: list[object]) -> list[str]:
    found: list[str] = []
    for entry in written:
        metadata = entry.get("metadata") if isinstance(entry, dict) else None
        extends = metadata.get("extend_group") if isinstance(metadata, dict) else None
        found += map(str, extends if isinstance(extends, list) else [extends] if extends else ())
    return found
