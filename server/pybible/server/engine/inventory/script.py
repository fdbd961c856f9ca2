"""script: inventories that a program prints: `--list`, and `--host NAME` where it gives no `_meta`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pybible.server.engine.commands import Overrun, run_command
from pybible.server.engine.inventory.yaml_groups import type_name
from pybible.server.engine.model.text import SourceDict, SourceList, Trusted
from pybible.wire.errors import Origin, ParseError

if TYPE_CHECKING:
    from pybible.server.engine.inventory.inventory import Inventory

_Part = TypeVar("_Part", list[str], dict[str, object])

# A script that asks a slow cloud is patient work; one that hangs must not hang the run for ever.
TIMEOUT: Final = 300.0


def _trusted(value: object, origin: Origin) -> object:
    if isinstance(value, str):
        return Trusted(value, origin)
    if isinstance(value, list):
        return SourceList((_trusted(item, origin) for item in value), origin)
    if isinstance(value, dict):
        return SourceDict(((key, _trusted(item, origin)) for key, item in value.items()), origin)
    return value


class ScriptReader:
    """Runs one inventory script and reads what it prints into an inventory."""

    def __init__(self, inventory: Inventory, path: Path) -> None:
        self._inventory = inventory
        self._path = path
        self._origin = Origin(f"<inventory script output from '{path}'>")

    def read(self) -> None:
        """Fill the inventory. Raises ParseError."""
        data = self._run("--list")
        if not isinstance(data, dict):
            raise self._error(f"Value is '{type_name(data)}' instead of 'dict'.")
        named: dict[str, None] = {}
        for group, body in data.items():
            if group != "_meta":
                self._group(group, body, named)
        meta = data.get("_meta")
        host_vars = meta.get("hostvars") if isinstance(meta, dict) else None
        if meta is not None and not isinstance(host_vars, dict):
            raise self._error(f"Value contains '_meta.hostvars' which is '{type_name(host_vars)}' instead of 'dict'.")
        for name in named:
            variables = self._run("--host", name) if host_vars is None else host_vars.get(name, {})
            if not isinstance(variables, dict):
                raise self._error(f"the variables of host {name} are '{type_name(variables)}' instead of 'dict'.")
            for key, value in variables.items():
                self._inventory.set_variable(name, key, _trusted(value, self._origin))

    def _error(self, message: str) -> ParseError:
        return ParseError(message, origin=self._origin)

    def _group(self, group: str, body: object, named: dict[str, None]) -> None:
        self._inventory.add_group(group)
        if not isinstance(body, dict):
            body = {"hosts": body}
        elif not any(key in body for key in ("hosts", "vars", "children")):
            body = {"hosts": [group], "vars": body}
        for name in self._part(group, body, "hosts", []):
            named[name] = None
            self._inventory.add_host(name, group=group)
        for key, value in self._part(group, body, "vars", {}).items():
            self._inventory.set_variable(group, key, _trusted(value, self._origin))
        for child in self._part(group, body, "children", []):
            self._inventory.add_group(child)
            self._inventory.add_child(group, child)

    def _part(self, group: str, body: Mapping[str, object], what: str, empty: _Part) -> _Part:
        value = body.get(what, empty)
        if not isinstance(value, type(empty)):
            raise self._error(
                f"Value contains '{group}.{what}' which is '{type_name(value)}' instead of '{type_name(empty)}'."
            )
        return value

    def _run(self, *arguments: str) -> object:
        try:
            done = run_command([str(self._path), *arguments], seconds=TIMEOUT, catch_errors=True, closed_input=True)
        except Overrun as error:
            raise self._error(f"Inventory script was ended: {error}.") from error
        except OSError as error:
            raise self._error(f"Failed to execute inventory script: {error.strerror}") from error
        complaint = done.errors.decode("utf-8", "replace").strip()
        if done.status != 0:
            raise ParseError(
                f"Inventory script returned non-zero exit code {done.status}.",
                origin=self._origin,
                hint=f"Standard error from inventory script: {complaint}" if complaint else "",
            )
        text = done.output.decode("utf-8", "surrogateescape")
        if not text.strip() and "--host" in arguments:
            return {}
        try:
            return json.loads(text)
        except ValueError as error:
            raise ParseError(
                f"Inventory script result could not be parsed as JSON: {error}",
                origin=self._origin,
                hint=f"Standard error from inventory script: {complaint}" if complaint else "",
            ) from error
