"""toml_groups: inventories in TOML form: a table for each group with hosts, children and vars."""

from __future__ import annotations

import tomllib
from datetime import date, time
from typing import TYPE_CHECKING

from pybible.server.engine.inventory.addresses import BadAddress, expand_hosts
from pybible.server.engine.inventory.yaml_groups import type_name
from pybible.server.engine.model.text import SourceDict, SourceList, Trusted
from pybible.wire.errors import Origin, ParseError

if TYPE_CHECKING:
    from pybible.server.engine.inventory.inventory import Inventory


class TomlReader:
    """Reads one TOML text into an inventory. TOML's values do not know their lines: errors name the file."""

    def __init__(self, inventory: Inventory, file: str) -> None:
        self._inventory = inventory
        self._file = file
        self._origin = Origin(file)

    def read(self, text: str) -> None:
        """Fill the inventory. Raises ParseError."""
        try:
            data = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise self._error(f"TOML file {self._file!r} is invalid.: {error}") from error
        if not data:
            raise self._error("Parsed empty TOML file")
        if data.get("plugin"):
            raise self._error("Plugin configuration TOML file, not TOML inventory")
        for name, body in data.items():
            self._group(name, body)

    def _error(self, message: str) -> ParseError:
        return ParseError(message, origin=self._origin)

    def _group(self, name: str, body: object) -> None:
        if not isinstance(body, dict):
            self._inventory.warn(f"Skipping '{name}' as this is not a valid group definition")
            return
        group = self._inventory.add_group(name).name
        for key, value in body.items():
            if key == "vars":
                for variable, item in self._table(group, key, value).items():
                    self._inventory.set_variable(group, Trusted(variable, self._origin), self._trusted(item))
            elif key == "hosts":
                for pattern, variables in self._table(group, key, value).items():
                    self._hosts(group, pattern, variables)
            elif key == "children":
                if not isinstance(value, list):
                    raise self._error(
                        f'Invalid "children" entry for "{group}" group, requires a list, found'
                        f' "{type_name(value)}" instead.'
                    )
                for child in value:
                    self._inventory.add_child(group, self._inventory.add_group(child).name)
            else:
                self._inventory.warn(
                    f'Skipping unexpected key "{key}" in group "{group}", only "vars", "children" and "hosts" are valid'
                )

    def _table(self, group: str, key: str, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self._error(
                f'Invalid "{key}" entry for "{group}" group, requires a dict, found "{type_name(value)}" instead.'
            )
        return value

    def _hosts(self, group: str, pattern: str, variables: object) -> None:
        try:
            names, port = expand_hosts(pattern)
        except BadAddress as error:
            raise self._error(str(error)) from error
        values = self._table(group, pattern, variables)
        for name in names:
            self._inventory.add_host(name, group=group, port=port)
            for key, item in values.items():
                self._inventory.set_variable(name, Trusted(key, self._origin), self._trusted(item))

    def _trusted(self, value: object) -> object:
        if isinstance(value, str):
            return Trusted(value, self._origin)
        if isinstance(value, dict):
            pairs = ((Trusted(key, self._origin), self._trusted(item)) for key, item in value.items())
            return SourceDict(pairs, self._origin)
        if isinstance(value, list):
            return SourceList((self._trusted(item) for item in value), self._origin)
        return value.isoformat() if isinstance(value, date | time) else value
