"""constructed: variables and groups that follow from the variables of hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pybible.server.engine.inventory.groups import safe_name
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory.yaml_groups import type_name
from pybible.server.engine.inventory_plugins import options
from pybible.server.engine.inventory_plugins.options import value_of
from pybible.server.engine.model.text import Trusted, origin_of
from pybible.server.engine.templating.engine import TemplateEngine
from pybible.server.engine.templating.errors import message_of
from pybible.server.engine.templating.templar import Overlay, Templar
from pybible.server.engine.templating.undefined import OMIT
from pybible.wire.errors import Origin, ParseError, PybibleError, SourceError


def read_constructed(
    inventory: Inventory,
    path: Path,
    config: Mapping[str, object],
    *,
    engine: TemplateEngine,
    extra_vars: Mapping[str, object],
    facts: Callable[[str], Mapping[str, object] | None],
) -> None:
    """Do what the file asks for. Raises ParseError."""
    constructed = _Constructed(inventory, config, engine, extra_vars, facts)
    try:
        for host in list(inventory.hosts):
            constructed.apply(host)
    except SourceError as error:
        # One line: the place in the file is that of what can't be done.
        raise ParseError(
            f"Failed to parse '{path}': {message_of(error)}", origin=error.origin or Origin(str(path))
        ) from None
    except PybibleError as error:
        raise ParseError(f"Failed to parse '{path}': {error.message}", origin=Origin(str(path))) from error


class _Constructed:
    """One file's options, applied host by host."""

    def __init__(
        self,
        inventory: Inventory,
        config: Mapping[str, object],
        engine: TemplateEngine,
        extra_vars: Mapping[str, object],
        facts: Callable[[str], Mapping[str, object] | None],
    ) -> None:
        self._facts = facts
        self._inventory = inventory
        self._engine = engine
        self._compose = options.mapping(config, "compose")
        self._groups = options.mapping(config, "groups")
        self._keyed_groups = options.listed(config, "keyed_groups")
        self._strict = options.flag(config, "strict")
        self._vars_files = options.flag(config, "use_vars_plugins")
        self._leading_separator = options.flag(config, "leading_separator", True)
        self._extra = extra_vars if options.flag(config, "use_extra_vars") else {}

    def apply(self, host: str) -> None:
        """Compose variables first; groups see them."""
        templar = self._templar(host)
        for name, expression in self._compose.items():
            found, value = self._tried(
                lambda expression=expression: self._composed(expression, templar),  # type: ignore[misc]
                lambda error, name=name: f"Could not set {name} for host {host}: {error}",  # type: ignore[misc]
                origin=origin_of(expression),
            )
            if found:
                self._inventory.set_variable(host, name, value)
        templar = self._templar(host)
        for name, expression in self._groups.items():
            self._conditional(host, safe_name(str(name)), expression, templar)
        for entry in self._keyed_groups:
            self._keyed(host, entry, templar)

    def _templar(self, host: str) -> Templar:
        variables: dict[str, object] = {}
        for layer in self._inventory.host_layers(host):
            if self._vars_files or layer.level in ("inventory_all", "inventory_groups", "inventory_host"):
                variables.update(layer.values)
        variables.update(self._inventory.host_magic(host))
        variables.update(self._facts(host) or {})
        return Templar(self._engine, variables)

    def _composed(self, expression: object, templar: Templar) -> object:
        seen = Templar(self._engine, Overlay(self._extra, templar.variables)) if self._extra else templar
        if not isinstance(expression, str):
            raise TypeError(f"an expression must be text, not a {type_name(expression)}")
        return value_of(Trusted(f"{{{{ {expression} }}}}", origin_of(expression)), seen)

    def _tried(
        self, evaluate: Callable[[], object], told: Callable[[str], str], *, origin: Origin | None
    ) -> tuple[bool, object]:
        """Return whether it could be evaluated, and its value. What can't be is passed over, unless strict."""
        try:
            return True, evaluate()
        except (PybibleError, TypeError, AttributeError) as error:
            if self._strict:
                text = message_of(error) if isinstance(error, SourceError) else str(error)
                raise ParseError(told(text), origin=origin) from error
            return False, None

    def _conditional(self, host: str, group: str, expression: object, templar: Templar) -> None:
        found, holds = self._tried(
            lambda: templar.condition((expression,))[0],
            lambda error: f"Could not add host {host} to group {group}: {error}",
            origin=origin_of(expression),
        )
        if found and holds:
            self._inventory.add_host(host, group=self._inventory.add_group(group).name)

    def _keyed(self, host: str, entry: object, templar: Templar) -> None:
        if not isinstance(entry, dict) or not entry:
            raise ParseError(f"Invalid keyed group entry, it must be a dictionary: {entry} ", origin=origin_of(entry))
        written = entry.get("key")
        found, key = self._tried(
            lambda: self._composed(written, templar),
            lambda error: f"Could not generate group for host {host} from {written} entry: {error}",
            origin=origin_of(written) or origin_of(entry),
        )
        if not found:
            return
        default = entry.get("default_value")
        if default is not None and entry.get("trailing_separator") is not None:
            raise ParseError(
                "parameters are mutually exclusive for keyed groups: default_value|trailing_separator",
                origin=origin_of(entry),
            )
        by_default = default is not None and (key is None or key == "")
        if not key and not by_default:
            if self._strict and key not in ([], {}):
                raise ParseError(
                    f"No key or key resulted empty for {written} in host {host}, invalid entry",
                    origin=origin_of(entry),
                )
            return
        found, parent = self._tried(
            lambda: templar.render(entry.get("parent_group")),
            lambda error: f"Could not generate parent group {entry.get('parent_group')!r} for group {key!r}: {error}",
            origin=origin_of(entry.get("parent_group")),
        )
        if not found:
            return
        for name in [default] if by_default else list(_names(key, entry)):
            self._add(host, name, entry, None if parent is OMIT else parent)

    def _add(self, host: str, name: object, entry: Mapping[str, object], parent: object) -> None:
        prefix, separator = entry.get("prefix", ""), entry.get("separator", "_")
        if prefix == "" and not self._leading_separator:
            separator = ""
        group = self._inventory.add_group(safe_name(f"{prefix}{separator}{name}")).name
        self._inventory.add_host(host, group=group)
        if parent:
            above = self._inventory.add_group(safe_name(str(parent))).name
            self._inventory.add_child(above, group)


def _names(key: object, entry: Mapping[str, object]) -> Iterator[object]:
    """Yield the names that a key stands for: text, each of a list, each `name SEPARATOR value` of a mapping."""
    default, separator = entry.get("default_value"), entry.get("separator", "_")
    if isinstance(key, str):
        yield key
    elif isinstance(key, list):
        for item in key:
            yield default if default is not None and (item is None or item == "") else item
    elif isinstance(key, Mapping):
        for name, value in key.items():
            empty = value is None or value == ""
            if empty and default is not None:
                yield f"{name}{separator}{default}"
            elif empty and entry.get("trailing_separator") is False:
                yield name
            else:
                yield f"{name}{separator}{value}"
    else:
        raise ParseError(
            f"Invalid group name format, expected a string or a list of them or dictionary, got: {type_name(key)}",
            origin=origin_of(entry),
        )
