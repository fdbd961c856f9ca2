"""options: the options of an inventory plugin, taken from its YAML file."""

from __future__ import annotations

from collections.abc import Mapping

from pybible.server.engine.inventory.yaml_groups import type_name
from pybible.server.engine.model.text import Trusted, origin_of
from pybible.server.engine.templating.templar import Templar
from pybible.wire.errors import ParseError

_TRUE = frozenset({"y", "yes", "on", "1", "true", "t"})


def flag(config: Mapping[str, object], name: str, default: bool = False) -> bool:
    """Return an option that is true or false."""
    value = config.get(name)
    return default if value is None else str(value).strip().lower() in _TRUE


def mapping(config: Mapping[str, object], name: str) -> dict[str, object]:
    """Return an option that is a mapping, empty when it is not given. Raises ParseError."""
    value = config.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong(value, name, "dictionary")
    return value


def listed(config: Mapping[str, object], name: str) -> list[object]:
    """Return an option that is a list, empty when it is not given. Raises ParseError."""
    value = config.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(value, name, "list")
    return value


def value_of(value: str, templar: Templar) -> object:
    """Return what a template yields. A variable's text of the operator's own stays that, what is made of it is data."""
    result = templar.resolve(value)
    return result if isinstance(result, Trusted) else templar.finalize(result)


def wrong(value: object, name: str, wanted: str) -> ParseError:
    """Return the error for an option of another type."""
    return ParseError(f"{name} must be a {wanted}, not a {type_name(value)}", origin=origin_of(value))
