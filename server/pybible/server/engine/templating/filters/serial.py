"""serial: filters to and from JSON and YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime

import jinja2
import yaml

from pybible.server.engine.model.notices import deprecated
from pybible.server.engine.model.text import Vaulted, origin_of
from pybible.server.engine.parsing.yaml_bounds import check_yaml
from pybible.server.engine.templating.lazy import LazyList, type_name
from pybible.server.engine.templating.plugins import Plugin
from pybible.server.engine.templating.undefined import UndefinedValue

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML_LIMIT = 16 * 1024 * 1024


def plain(value: object, seen: dict[int, object] | None = None) -> object:
    """Return a value as JSON's and YAML's own types. What is the same object stays the same: YAML writes an alias."""
    seen = {} if seen is None else seen
    made = seen.get(id(value))
    if made is not None:
        return made
    if isinstance(value, UndefinedValue):
        raise value.failure()
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool | int | float | date) or value is None:
        return value
    if isinstance(value, Mapping):
        made = seen[id(value)] = {plain(key): plain(item, seen) for key, item in value.items()}
        return made
    if isinstance(value, LazyList | list | tuple | set | frozenset):
        made = seen[id(value)] = [plain(item, seen) for item in value]
        return made
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, Vaulted):
        return value.ciphertext
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return value


def _json_default(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _to_json(value: object, **options: object) -> str:
    for ours in ("vault_to_text", "preprocess_unsafe"):
        options.pop(ours, None)
    return json.dumps(plain(value), default=_json_default, **options)  # type: ignore[arg-type]


def _to_nice_json(value: object, indent: object = 4, sort_keys: bool = True, **options: object) -> str:
    return _to_json(value, indent=indent, sort_keys=sort_keys, separators=(",", ": "), **options)


def _from_json(value: object, **options: object) -> object:
    if not isinstance(value, str | bytes):
        raise TypeError(f"the JSON object must be str, bytes or bytearray, not {type_name(value)}")
    options.pop("profile", None)
    return json.loads(str(value), **options)  # type: ignore[arg-type]


def _to_yaml(
    value: object, indent: int | None = None, default_flow_style: bool | None = None, **options: object
) -> str:
    options.setdefault("allow_unicode", True)
    for ours in ("vault_to_text", "preprocess_unsafe"):
        options.pop(ours, None)
    text = str(
        yaml.dump(plain(value), Dumper=yaml.SafeDumper, indent=indent, default_flow_style=default_flow_style, **options)  # type: ignore[call-overload]
    )

    # A scalar alone ends with the mark of a document's end, which nobody wants.
    return text.removesuffix("...\n")


def _to_nice_yaml(value: object, indent: int = 4, **options: object) -> str:
    return _to_yaml(value, indent=indent, default_flow_style=options.pop("default_flow_style", False), **options)  # type: ignore[arg-type]


def _yaml_text(value: object) -> str:
    text = str(value)
    if len(text) > _YAML_LIMIT:
        raise ValueError(f"the YAML text is larger than {_YAML_LIMIT // 1024 // 1024} MiB")
    check_yaml(text)
    return text


@jinja2.pass_context
def _from_yaml(context: jinja2.runtime.Context, value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str):
        _warn_of_no_text(context, "from_yaml", value)
        return value
    return yaml.load(_yaml_text(value), Loader=_LOADER)  # noqa: S506 - it is a safe one


@jinja2.pass_context
def _from_yaml_all(context: jinja2.runtime.Context, value: object) -> object:
    if value is None:
        return []
    if not isinstance(value, str):
        _warn_of_no_text(context, "from_yaml_all", value)
        return value
    return list(yaml.load_all(_yaml_text(value), Loader=_LOADER))


def _warn_of_no_text(context: jinja2.runtime.Context, name: str, value: object) -> None:
    told = f"The {name} filter ignored non-string input of type {type_name(value)!r}."
    context.owner.warn(deprecated(told, origin_of(value)))  # type: ignore[attr-defined]


FILTERS: Mapping[str, Plugin] = {
    "to_json": _to_json,
    "to_nice_json": _to_nice_json,
    "from_json": _from_json,
    "to_yaml": _to_yaml,
    "to_nice_yaml": _to_nice_yaml,
    "from_yaml": _from_yaml,
    "from_yaml_all": _from_yaml_all,
}
