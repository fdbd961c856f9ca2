"""ini: inventories in INI form."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pybible.server.engine.inventory.addresses import BadAddress, expand_hosts
from pybible.server.engine.model.text import SourceDict, SourceList, Trusted
from pybible.wire.errors import Origin, ParseError, PybibleError

if TYPE_CHECKING:
    from pybible.server.engine.inventory.inventory import Inventory

_SECTION = re.compile(r"^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$")
_GROUP_NAME = re.compile(r"^([^:\]\s]+)\s*(?:#.*)?$")


@dataclass(slots=True)
class _Pending:
    """A group that a section named before any section made it."""

    line: int
    kind: str
    parents: list[str] = field(default_factory=list)


def literal(text: str, origin: Origin) -> object:
    """Return the value of a variable in an INI inventory: a Python literal if it is one, else the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = text
    return _marked(value, origin)


def _marked(value: object, origin: Origin) -> object:
    if isinstance(value, str):
        return Trusted(value, origin)
    if isinstance(value, list | tuple | set | frozenset):
        return SourceList((_marked(item, origin) for item in value), origin)
    if isinstance(value, dict):
        pairs = ((Trusted(key, origin) if isinstance(key, str) else key, item) for key, item in value.items())
        return SourceDict(((key, _marked(item, origin)) for key, item in pairs), origin)
    if value is ...:
        return Trusted("...", origin)
    if isinstance(value, complex):
        return Trusted(str(value), origin)
    if isinstance(value, bytes):
        return Trusted(value.decode("utf-8", "surrogateescape"), origin)
    return value


class IniReader:
    """Reads one INI text into an inventory."""

    def __init__(self, inventory: Inventory, file: str) -> None:
        self._inventory = inventory
        self._file = file
        self._line = 0
        self._pending: dict[str, _Pending] = {}
        self._group, self._kind = "ungrouped", "hosts"

    def read(self, text: str) -> None:
        """Fill the inventory. Raises ParseError with the line at fault."""
        try:
            for number, line in enumerate(text.splitlines(), 1):
                self._line = number
                stripped = line.strip()
                if stripped and stripped[0] not in ";#":
                    self._read_line(stripped)
            self._finish()
        except (BadAddress, PybibleError) as error:
            if isinstance(error, ParseError):
                raise
            raise self._error(str(error)) from error

    def _error(self, message: str) -> ParseError:
        return ParseError(message, origin=Origin(self._file, self._line, 1))

    def _read_line(self, line: str) -> None:
        section = _SECTION.match(line)
        if section:
            self._begin(section.group(1), section.group(2) or "hosts")
        elif line.startswith("[") and line.endswith("]"):
            raise self._error(
                f"Invalid section entry: '{line}'. Please make sure that there are no spaces in the section entry,"
                " and that there are no other invalid characters"
            )
        elif self._kind == "hosts":
            self._read_host(line)
        elif self._kind == "vars":
            self._read_variable(line)
        else:
            self._read_child(line)

    def _begin(self, group: str, kind: str) -> None:
        if kind not in ("hosts", "children", "vars"):
            raise self._error(f"Section [{group}:{kind}] has unknown type: {kind}")
        group = self._inventory.group_name(group)
        self._group, self._kind = group, kind
        if group not in self._inventory.groups:
            if kind == "vars" and group not in self._pending:
                self._pending[group] = _Pending(self._line, kind)
            self._inventory.add_group(group)
        pending = self._pending.get(group)
        if pending is not None and kind != "vars":
            if pending.kind == "children":
                self._join(group)
            else:
                del self._pending[group]

    def _join(self, group: str) -> None:
        for parent in self._pending[group].parents:
            self._inventory.add_child(parent, group)
            above = self._pending.get(parent)
            if above is not None and above.kind == "children":
                self._join(parent)
        del self._pending[group]

    def _read_host(self, line: str) -> None:
        try:
            tokens = shlex.split(line, comments=True)
        except ValueError as error:
            raise self._error(f"Error parsing host definition '{line}': {error}") from error
        names, port = expand_hosts(tokens[0])
        if tokens[0].endswith(":") and port is None:
            raise self._error(
                f"Invalid host pattern '{tokens[0]}' supplied, ending in ':' is not allowed,"
                " this character is reserved to provide a port."
            )
        if "---" in names:
            raise self._error(
                f"Invalid host pattern '{tokens[0]}' supplied, '---' is normally a sign this is a YAML file."
            )
        variables: dict[str, object] = {}
        for token in tokens[1:]:
            key, equals, value = token.partition("=")
            if not equals:
                raise self._error(f"Expected key=value host variable assignment, got: {token}")
            variables[key] = self._value(value)
        for name in names:
            self._inventory.add_host(name, group=self._group, port=port)
            for key, item in variables.items():
                self._inventory.set_variable(name, Trusted(key, Origin(self._file, self._line)), item)

    def _read_variable(self, line: str) -> None:
        key, equals, value = line.partition("=")
        if not equals:
            raise self._error(f"Expected key=value, got: {line}")
        name = Trusted(key.strip(), Origin(self._file, self._line))
        self._inventory.set_variable(self._group, name, self._value(value.strip()))

    def _read_child(self, line: str) -> None:
        found = _GROUP_NAME.match(line)
        if not found:
            raise self._error(f"Expected group name, got: {line}")
        child = self._inventory.group_name(found.group(1))
        if child in self._inventory.groups:
            self._inventory.add_child(self._group, child)
        elif child in self._pending:
            self._pending[child].parents.append(self._group)
        else:
            self._pending[child] = _Pending(self._line, self._kind, [self._group])

    def _finish(self) -> None:
        for name, pending in self._pending.items():
            self._line = pending.line
            if pending.kind == "vars":
                raise self._error(f"Section [{name}:vars] not valid for undefined group '{name}'.")
            raise self._error(f"Section [{pending.parents[-1]}:children] includes undefined group '{name}'.")

    def _value(self, text: str) -> object:
        return literal(text, Origin(self._file, self._line))
