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
            # First, as groups may extend one another.
            self._known[key] = ()
            self._known[key] = tuple(dict.fromkeys(self._resolved(group, written, directory)))
        return self._known[key]

    def _written(self, group: str, directory: Path) -> list[object] | None:
        namespace, collection, name = group.split(".", 2)
        routing = self._finder.routing_of(f"{namespace}.{collection}", directory=directory)
        groups = {} if routing is None else routing.action_groups()
        entry = groups.get(group, groups.get(name))
        return entry if isinstance(entry, list) else None

    def _resolved(self, group: str, written: list[object], directory: Path) -> list[str]:
        collection = ".".join(group.split(".")[:2])
        found: list[str] = []
        for entry in written:
            if isinstance(entry, str):
                name = entry if entry.count(".") >= 2 else f"{collection}.{entry}"
                found.append(self._full_name(name, directory))
                continue
            metadata = entry.get("metadata") if isinstance(entry, dict) else None
            extends = metadata.get("extend_group") if isinstance(metadata, dict) else None
            for other in [extends] if isinstance(extends, str) else extends or ():
                full = str(other) if str(other).count(".") >= 2 else f"{collection}.{other}"
                found += self.members(full, directory=directory) or ()
        return found

    def _full_name(self, name: str, directory: Path) -> str:
        """Return where a name leads: modules move from collection to collection."""
        try:
            module = self._finder.find(name, directory=directory)
        except BridgeError:
            return name
        return name if module is None else module.name
