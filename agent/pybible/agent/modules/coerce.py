"""coerce: Ansible's idea of what may stand for a bool, a number, a list, ..."""

from __future__ import annotations

import ast
import os
import shlex
from collections.abc import Callable

from pybible.wire.values import JsonValue, loads

Convert = Callable[[JsonValue], JsonValue]

_TRUE = frozenset(("y", "yes", "on", "1", "true", "t"))
_FALSE = frozenset(("n", "no", "off", "0", "false", "f"))
_BOOLEANS = "0, 1, '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"


def to_str(value: JsonValue) -> str:
    """Return `value` as text: None is empty."""
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)


def to_path(value: JsonValue) -> str:
    """Return text with `~` and `$VARIABLES` replaced."""
    text = to_str(value)
    return os.path.expanduser(os.path.expandvars(text)) if "$" in text or "~" in text else text  # noqa: PTH111


def to_bool(value: JsonValue) -> bool:
    """Return the truth that a word stands for. ValueError, TypeError when it is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.lower().strip()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    elif not isinstance(value, int | float):
        raise TypeError(f"{type(value)} cannot be converted to a bool")
    elif value in (0, 1):
        return bool(value)
    raise ValueError(f"The value '{value}' is not a valid boolean. Valid booleans include: {_BOOLEANS}")


def to_int(value: JsonValue) -> int:
    """Return a whole number. ValueError, TypeError when there is none in `value`."""
    if isinstance(value, int):
        return value
    try:
        number = float(value)
        if number.is_integer():
            return int(value) if not isinstance(value, str) or value.strip().lstrip("+-").isdigit() else int(number)
    except (TypeError, ValueError):
        pass
    raise ValueError(_not_a(value, "an int"))


def to_float(value: JsonValue) -> float:
    """Return a number. ValueError, TypeError when there is none in `value`."""
    if isinstance(value, float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(_not_a(value, "a float")) from None


def _not_a(value: JsonValue, kind: str) -> str:
    shown = repr(value) if isinstance(value, str) else str(value)
    return f'"{shown}" cannot be converted to {kind}'


def to_list(value: JsonValue) -> list[JsonValue]:
    """Return a list: text is split at commas, a number stands alone."""
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return list(value.split(","))
    if isinstance(value, int | float):
        return [str(value)]
    raise TypeError(f"{type(value)} cannot be converted to a list")


def to_dict(value: JsonValue) -> dict[str, JsonValue]:
    """Return a mapping: from JSON, a Python literal, or `k=v` pairs in text."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{type(value)} cannot be converted to a dict")
    text = value.strip()
    if text.startswith("{"):
        return _dict_literal(text)
    if "=" not in text:
        raise TypeError("dictionary requested, could not parse JSON or key=value")
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace_split = True
    words.whitespace += ","
    return dict(word.split("=", 1) for word in words)


def _dict_literal(text: str) -> dict[str, JsonValue]:
    for read in (loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, dict):
            return found
    raise TypeError("unable to evaluate string as dictionary")


def to_raw(value: JsonValue) -> JsonValue:
    """Return it as it is."""
    return value


CONVERTERS: dict[str, Convert] = {
    "str": to_str,
    "path": to_path,
    "bool": to_bool,
    "int": to_int,
    "float": to_float,
    "list": to_list,
    "dict": to_dict,
    "raw": to_raw,
}
