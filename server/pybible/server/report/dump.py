"""dump: a result as Ansible's screen shows it: JSON with sorted keys and without what is for machines only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from datetime import date, datetime, time

from pybible.server.report.visible import visible_json
from pybible.wire.values import JsonObject, JsonValue

# Shown by other means: the status by the line itself, the rest as messages of their own.
_ELSEWHERE = frozenset({"failed", "skipped", "exception", "warnings", "deprecations"})
# Shown from -vvv on.
_DETAIL = frozenset({"invocation", "diff"})
_DEBUG_KEEPS = frozenset({"msg", "exception", "warnings", "deprecations"})
_DEBUG_HIDES = frozenset(
    {
        "changed", "failed", "skipped", "invocation", "skip_reason",
        "ansible_loop_var", "ansible_index_var", "ansible_loop",
    }
)  # fmt: skip


def debug_result(result: JsonObject) -> JsonObject:
    """Return what `debug` was asked to show: its message, or the variable without the rest of the result."""
    if "msg" in result:
        return {key: value for key, value in result.items() if key in _DEBUG_KEEPS or key.startswith("_")}
    return {key: value for key, value in result.items() if key not in _DEBUG_HIDES}


def dump_result(result: JsonObject, *, verbosity: int = 0, pretty: bool = False, indent: int = 4) -> str:
    """Return a result as one line of JSON, or over several lines when `pretty` and from -vvv on."""
    return dump_value(shown_part(result, verbosity=verbosity), indent=indent if pretty or verbosity > 2 else None)


def shown_part(result: JsonObject, *, verbosity: int = 0) -> JsonObject:
    """Return what of a result is shown with it."""
    hidden = _ELSEWHERE if verbosity > 2 else _ELSEWHERE | _DETAIL
    return {key: value for key, value in result.items() if key not in hidden and not _is_internal(key)}


def dump_value(value: JsonValue, *, indent: int | None = None) -> str:
    """Return any value as JSON, keys sorted, letters of all scripts as they are."""
    plain = _without_internal(value)
    try:
        text = json.dumps(plain, indent=indent, ensure_ascii=False, sort_keys=True, default=_default)
    except TypeError:
        # Keys of several types have no order among each other.
        text = json.dumps(_text_keys(plain), indent=indent, ensure_ascii=False, sort_keys=True, default=_default)
    return visible_json(text)


def _is_internal(key: object) -> bool:
    return isinstance(key, str) and key.startswith("_ansible_")


def _without_internal(value: JsonValue) -> JsonValue:
    if isinstance(value, Mapping):
        return {key: _without_internal(item) for key, item in value.items() if not _is_internal(key)}
    if isinstance(value, list | tuple):
        return [_without_internal(item) for item in value]
    return value


def _text_keys(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {str(key): _text_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_text_keys(item) for item in value]
    return value


def _default(value: object) -> JsonValue:
    if isinstance(value, Set):
        return sorted(value, key=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)
