"""module_defaults: arguments for all tasks of a module, or of a group of them, checked and under their full names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pybible.server.engine.bridge.finder import BridgeError, Finder
from pybible.server.engine.bridge.groups import ActionGroups, full_name
from pybible.server.engine.model.text import Trusted, origin_of
from pybible.server.engine.parsing import keywords, known
from pybible.wire.errors import Origin, ParseError

_GROUP: Final = "group/"
_SHAPE: Final = (
    "The field 'module_defaults' is supposed to be a dictionary or list of dictionaries, the keys of which must be"
    " static action, module, or group names. Only the values may contain templates."
    " For example: {'ping': \"{{ ping_defaults }}\"}"
)


class ModuleDefaults:
    """Reads the keyword, and tells which groups an action is in. Without a finder no module but ours is known."""

    def __init__(self, finder: Finder | None) -> None:
        self._finder = finder
        self._groups = None if finder is None else ActionGroups(finder)

    def read(self, mapping: Mapping[str, object], directory: Path) -> object:
        """Return what a level says: `group/FULL.NAME` or an action's canonical name to arguments. Raises ParseError."""
        value = mapping.get("module_defaults")
        if value is None:
            return None
        levels: list[dict[str, object]] = []
        for part in keywords.as_list(value):
            origin = origin_of(part) or origin_of(value) or keywords.key_origin(mapping, "module_defaults")
            if not isinstance(part, dict):
                raise ParseError(_SHAPE, origin=origin)
            levels.append({self._key(key, origin, directory): each for key, each in part.items()})
        return levels

    def groups_of(self, action: str, levels: Iterable[object], directory: Path) -> tuple[str, ...]:
        """Return those of the groups in `levels` that an action is in, by the keys that they have there."""
        if self._groups is None:
            return ()
        named = {
            str(key): None
            for level in levels
            for part in (level if isinstance(level, list) else [])
            for key in part
            if str(key).startswith(_GROUP)
        }
        return tuple(
            key
            for key in named
            if action in map(known.canonical, self._groups.members(key.removeprefix(_GROUP), directory=directory) or ())
        )

    def _key(self, key: object, origin: Origin | None, directory: Path) -> str:
        name = str(key)
        origin = key.origin if isinstance(key, Trusted) else origin
        if name.startswith(_GROUP):
            group = full_name(name.removeprefix(_GROUP))
            if self._groups is None or self._groups.members(group, directory=directory) is None:
                text = f"Error loading module_defaults: could not resolve the module_defaults group {group}"
                raise ParseError(text, origin=origin, hint=self._hint(group))
            return f"{_GROUP}{group}"
        return self._action(name, origin, directory)

    def _hint(self, group: str) -> str:
        core = group.startswith("ansible.builtin.") and (self._finder is None or self._finder.places.core is None)
        return "ansible-core, which has it, is not on this machine." if core else ""

    def _action(self, name: str, origin: Origin | None, directory: Path) -> str:
        canonical = known.canonical(name)
        if canonical in known.SUPPORTED or self._finder is None:
            return canonical
        try:
            module = self._finder.find(name, directory=directory)
        except BridgeError:
            return canonical
        if module is None:
            full = name if name.count(".") >= 2 else f"ansible.legacy.{name}"
            raise ParseError(f"Could not resolve action {full} in module_defaults", origin=origin)
        return known.canonical(module.name)
