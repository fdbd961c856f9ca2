"""tables: the settings of TOML files, read one way on both ends, with one set of words for what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches

from pybible.wire.errors import ConfigError
from pybible.wire.tasks import short_name
from pybible.wire.values import JsonObject

# Takes what a file has. ValueError with what it must be: "true or false".
Convert = Callable[[object], object]


def read_table(found: object, settings: Mapping[str, Convert], *, where: str) -> JsonObject:
    """Return the table `found` converted. ConfigError for what is no table, no setting, or has a wrong value."""
    if not isinstance(found, dict):
        raise ConfigError(f"{where} must be a table")
    read: JsonObject = {}
    for key, value in found.items():
        if key not in settings:
            raise unknown_setting(str(key), settings, where=where)
        try:
            read[key] = settings[key](value)
        except ValueError as error:
            raise ConfigError(f"{where}: {key} must be {error}, not {value!r}") from error
    return read


def named_tables(found: object, name: str, *, where: str) -> Mapping[str, tuple[object, str]]:
    """Return the tables [name.KEY] by their keys, each with where it stands. ConfigError if `found` holds none."""
    if not isinstance(found, dict):
        raise ConfigError(f"{where}: {name} must be tables: [{name}.NAME]")
    return {str(key): (values, f"{where}: [{name}.{key}]") for key, values in found.items()}


def unknown_setting(key: str, known: Collection[str], *, where: str) -> ConfigError:
    """Return the error for a setting that there is not, with the nearest one as its hint."""
    near = get_close_matches(key, known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Known settings: {', '.join(known)}."
    return ConfigError(f"{where}: unknown setting {key!r}", hint=hint)


def texts(value: object) -> tuple[str, ...]:
    """Take a list of texts that are not empty."""
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError("a list of texts")
    return tuple(value)


def module_names(value: object) -> tuple[str, ...]:
    """Take a list of modules, or patterns of them, as short as their names may be."""
    return tuple(map(short_name, texts(value)))


def table_of_texts(value: object) -> Mapping[str, str]:
    """Take a table whose values are texts."""
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ValueError("a table of texts")
    return value


def flag(value: object) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value
