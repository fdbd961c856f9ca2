"""routing: what `meta/runtime.yml` says: under which name a plugin is to be found now, and which is no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is said of one plugin. Empty: nothing. `removed` is since when one with a `tombstone` is no more."""

    redirect: str = ""
    tombstone: str = ""
    removed: str = ""

    def __bool__(self) -> bool:
        return bool(self.redirect or self.tombstone)


NOWHERE = Route()
_KEY = re.compile(r"""^\s+['"]?([\w.]+)['"]?\s*:""", re.MULTILINE)


class Routing:
    """One such file. ansible-core's is long: it is only taken apart when its text has the name that is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _text(self) -> str:
        try:
            return self._path.read_text("utf-8", "replace")
        except OSError:
            return ""

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(_KEY.findall(self._text))

    @cached_property
    def _table(self) -> Mapping[str, object]:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            data = yaml.load(self._text, Loader=loader)  # noqa: S506  a safe one
        except yaml.YAMLError:
            return {}
        return _mapping(_mapping(data).get("plugin_routing"))

    def action_groups(self) -> Mapping[str, object]:
        """Return the groups of actions for `module_defaults`, each with its members as they are written."""
        found = re.search(r"^action_groups:.*?(?=^[^\s#]|\Z)", self._text, re.MULTILINE | re.DOTALL)
        if found is None:
            return {}
        try:
            return _mapping(_mapping(yaml.safe_load(found[0])).get("action_groups"))
        except yaml.YAMLError:
            return {}

    def find(self, kind: str, name: str) -> Route:
        """Return what is said of a plugin of that kind: modules, action, module_utils."""
        if name not in self._keys:
            return NOWHERE
        entry = _mapping(_mapping(self._table.get(kind)).get(name))
        tombstone = _mapping(entry.get("tombstone"))
        return Route(
            redirect=str(entry.get("redirect") or ""),
            tombstone=str(tombstone.get("warning_text") or "It has been removed.") if tombstone else "",
            removed=_moment(tombstone),
        )


def _moment(tombstone: Mapping[str, object]) -> str:
    if "removal_version" in tombstone:
        return f" version {tombstone['removal_version']}"
    return f" in a release after {tombstone['removal_date']}" if "removal_date" in tombstone else ""


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
