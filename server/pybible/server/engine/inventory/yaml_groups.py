"""yaml_groups: inventories in YAML form: groups with hosts, children and vars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybible.server.engine.inventory.addresses import BadAddress, expand_hosts
from pybible.server.engine.model.text import origin_of
from pybible.wire.errors import Origin, ParseError, PybibleError

if TYPE_CHECKING:
    from pybible.server.engine.inventory.inventory import Inventory

_SECTIONS = ("vars", "children", "hosts")


class YamlReader:
    """Reads one YAML document into an inventory."""

    def __init__(self, inventory: Inventory, file: str) -> None:
        self._inventory = inventory
        self._file = file

    def read(self, data: object) -> None:
        """Fill the inventory. Raises ParseError with the place at fault."""
        if not data:
            raise ParseError("Parsed empty YAML file", origin=Origin(self._file))
        if not isinstance(data, dict):
            raise ParseError(
                f"YAML inventory has invalid structure, it should be a dictionary, got: {type_name(data)}",
                origin=origin_of(data) or Origin(self._file),
            )
        for name, body in data.items():
            self._group(name, body, depth=0)

    def _group(self, name: object, body: object, *, depth: int) -> str | None:
        if body is not None and not isinstance(body, dict):
            self._inventory.warn(f"Skipping '{name}' as this is not a valid group definition")
            return None
        if not isinstance(name, str):
            raise ParseError(
                f"Unable to add group {name}: a group's name must be text, enclose numbers in quotation marks",
                origin=origin_of(body) or Origin(self._file),
            )
        try:
            group = self._inventory.add_group(name).name
            for key, value in (body or {}).items():
                self._section(group, key, value, depth=depth)
        except (BadAddress, PybibleError) as error:
            if isinstance(error, ParseError):
                raise
            raise ParseError(str(error), origin=origin_of(name) or Origin(self._file)) from error
        return group

    def _section(self, group: str, key: object, value: object, *, depth: int) -> None:
        if key in _SECTIONS and isinstance(value, str):
            value = {value: None}
        if value is None:
            return
        if not isinstance(value, dict):
            if key in _SECTIONS:
                raise ParseError(
                    f'Invalid "{key}" entry for "{group}" group, requires a dictionary,'
                    f' found "{type_name(value)}" instead.',
                    origin=origin_of(value) or origin_of(key),
                )
            self._inventory.warn(
                f"Skipping key ({key}) in group ({group}) as it is not a mapping, it is a {type_name(value)}"
            )
        elif key == "vars":
            for name, item in value.items():
                self._inventory.set_variable(group, name, item)
        elif key == "children":
            for name, body in value.items():
                child = self._group(name, body, depth=depth + 1)
                if child is not None:
                    self._inventory.add_child(group, child)
        elif key == "hosts":
            for pattern, variables in value.items():
                self._host(group, pattern, variables)
        else:
            self._inventory.warn(
                f'Skipping unexpected key ({key}) in group ({group}), only "vars", "children" and "hosts" are valid'
            )

    def _host(self, group: str, pattern: object, variables: object) -> None:
        if not isinstance(pattern, str):
            raise ParseError(
                f"Host pattern {pattern} must be a string. Enclose integers/floats in quotation marks.",
                origin=origin_of(variables) or Origin(self._file),
            )
        if variables is not None and not isinstance(variables, dict):
            raise ParseError(
                f"the variables of host {pattern} must be a mapping, not a {type_name(variables)}",
                origin=origin_of(pattern),
            )
        names, port = expand_hosts(pattern)
        for name in names:
            self._inventory.add_host(name, group=group, port=port)
            for key, item in (variables or {}).items():
                self._inventory.set_variable(name, key, item)


def type_name(value: object) -> str:
    """Return the name of a value's type as a writer of YAML knows it."""
    for kind, name in ((bool, "bool"), (str, "str"), (dict, "dict"), (list, "list"), (type(None), "NoneType")):
        if isinstance(value, kind):
            return name
    return type(value).__name__
