"""values: Ansible values to bytes and back.

Module arguments and results travel as JSON: a protobuf Struct would turn every integer into a float. Text that is not
UTF-8 keeps its bytes through surrogate escapes. Text that may be a template (a `str` subclass in the engine) arrives
as plain text: nothing that crosses the wire is ever a template again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from datetime import date, datetime, time
from pathlib import PurePath
from typing import Any, TypeAlias

# The one alias for "anything JSON can hold"; Any keeps the code that walks such values readable.
JsonValue: TypeAlias = Any
JsonObject: TypeAlias = dict[str, JsonValue]


def _default(value: object) -> JsonValue:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set | tuple):
        return list(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} can't be sent to a host")


_encoder = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=_default)


def dumps(value: JsonValue) -> bytes:
    """Encode `value` as compact JSON, ASCII only. TypeError for what JSON can't hold, ValueError for a cycle."""
    return _encoder.encode(value).encode("ascii")


def loads(data: bytes | str) -> JsonValue:
    """Decode JSON. ValueError when it is none, or nested too deeply."""
    # Never UTF-16 or UTF-32, for which json would look at every value; otherwise as it reads bytes.
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogatepass")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error


def loads_object(data: bytes | str, *, depth: int = 0) -> JsonObject:
    """Decode a JSON object. ValueError when it is anything else, or nested more than `depth` levels deep (0: any)."""
    value = loads(data)
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    if depth:
        _check_depth(value, data, depth)
    return value


def _check_depth(value: JsonObject, data: bytes | str, depth: int) -> None:
    # To count brackets costs next to nothing, and settles it for nearly everything.
    count = data.count(b"{") + data.count(b"[") if isinstance(data, bytes) else data.count("{") + data.count("[")
    if count <= depth:
        return
    level: list[JsonValue] = [value]
    for _ in range(depth):
        items = (item for each in level for item in (each.values() if type(each) is dict else each))
        level = [item for item in items if type(item) is dict or type(item) is list]
        if not level:
            return
    raise ValueError(f"JSON nested more than {depth} levels deep")
