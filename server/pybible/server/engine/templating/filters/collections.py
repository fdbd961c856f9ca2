"""collections: filters that take lists and dictionaries apart and put them together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import jinja2
import jinja2.filters
from jinja2.runtime import Context

from pybible.server.engine.templating.errors import Refused
from pybible.server.engine.templating.lazy import type_name
from pybible.server.engine.templating.limits import limited
from pybible.server.engine.templating.plugins import Plugin
from pybible.server.engine.templating.undefined import UndefinedValue


def _distinct(values: Iterable[object]) -> list[object]:
    kept: list[object] = []
    hashed: set[object] = set()
    for value in values:
        try:
            if value not in hashed:
                hashed.add(value)
                kept.append(value)
        except TypeError:
            if value not in kept:
                kept.append(value)
    return kept


@jinja2.pass_environment
def _unique(
    environment: jinja2.Environment, values: object, case_sensitive: bool | None = None, attribute: str | None = None
) -> list[object]:
    try:
        return list(jinja2.filters.do_unique(environment, values, bool(case_sensitive), attribute))
    except TypeError:
        if attribute or case_sensitive is False:
            raise
        return _distinct(_values(values))


def _values(values: object) -> list[object]:
    return list(values)  # type: ignore[call-overload, no-any-return]


def _union(first: object, second: object) -> list[object]:
    return _distinct([*_values(first), *_values(second)])


def _intersect(first: object, second: object) -> list[object]:
    other = _values(second)
    return _distinct(value for value in _values(first) if value in other)


def _difference(first: object, second: object) -> list[object]:
    other = _values(second)
    return _distinct(value for value in _values(first) if value not in other)


def _symmetric_difference(first: object, second: object) -> list[object]:
    both = _intersect(first, second)
    return [value for value in _union(first, second) if value not in both]


def _flatten(values: object, levels: int | None = None, skip_nulls: bool = True) -> list[object]:
    flat: list[object] = []
    for value in _values(values):
        if skip_nulls and value in (None, "None", "null"):
            continue
        if isinstance(value, list | tuple) and (levels is None or levels >= 1):
            flat.extend(_flatten(value, None if levels is None else levels - 1, skip_nulls))
        elif isinstance(value, list | tuple):
            flat.append(list(value))
        else:
            flat.append(value)
    return flat


def _merge_lists(first: list[object], second: list[object], how: str) -> list[object]:
    if how == "replace":
        return second
    if how == "append":
        return first + second
    if how == "prepend":
        return second + first
    if how == "append_rp":
        return [value for value in first if value not in second] + second
    if how == "prepend_rp":
        return second + [value for value in first if value not in second]
    return first


def merge(
    first: Mapping[object, object], second: Mapping[object, object], recursive: bool, lists: str
) -> dict[object, object]:
    """Return `first` with `second` over it."""
    merged = dict(first.items())
    for key, value in second.items():
        below = merged.get(key)
        if key in merged and recursive and isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value, recursive, lists)
        elif key in merged and isinstance(below, list) and isinstance(value, list):
            merged[key] = _merge_lists(list(below), list(value), lists)
        else:
            merged[key] = value
    return merged


def _combine(*terms: object, **options: object) -> object:
    recursive = bool(options.pop("recursive", False))
    lists = str(options.pop("list_merge", "replace"))
    if options:
        raise TypeError("'recursive' and 'list_merge' are the only valid keyword arguments")
    if lists not in ("replace", "keep", "append", "prepend", "append_rp", "prepend_rp"):
        raise ValueError(
            "merge_hash: 'list_merge' argument can only be equal to 'replace', 'keep', 'append', 'prepend', "
            "'append_rp' or 'prepend_rp'"
        )
    given = _flatten(list(terms), 1)
    for term in given:
        if isinstance(term, UndefinedValue):
            raise term.failure()
    if len(given) < 2:
        return given[0] if given else {}
    # From the last, whose values win: an error names the two that were to go together.
    merged = given[-1]
    for term in reversed(given[:-1]):
        if not isinstance(term, Mapping) or not isinstance(merged, Mapping):
            raise TypeError(
                "failed to combine variables, expected dicts but got "
                f"a '{type_name(term)}' and a '{type_name(merged)}'."
            )
        merged = merge(term, merged, recursive, lists)
    return merged


def _class(value: object) -> str:
    return f"<class '{type_name(value)}'>"


def _dict2items(value: object, key_name: str = "key", value_name: str = "value") -> list[object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"dict2items requires a dictionary, got {_class(value)} instead.")
    return [{key_name: key, value_name: item} for key, item in value.items()]


def _items2dict(values: object, key_name: str = "key", value_name: str = "value") -> dict[object, object]:
    if isinstance(values, str | Mapping) or not isinstance(values, Sequence):
        raise TypeError(f"items2dict requires a list, got {_class(values)} instead.")
    try:
        return {item[key_name]: item[value_name] for item in values}
    except KeyError:
        raise Refused(
            f"items2dict requires each dictionary in the list to contain the keys '{key_name}' and '{value_name}', "
            f"got {values!r} instead."
        ) from None
    except TypeError:
        raise TypeError(f"items2dict requires a list of dictionaries, got {values!r} instead.") from None


@jinja2.pass_environment
def _extract(environment: jinja2.Environment, key: object, container: object, morekeys: object = None) -> object:
    keys = [key]
    if isinstance(morekeys, list):
        keys += morekeys
    elif morekeys is not None:
        keys.append(morekeys)
    value = container
    for each in keys:
        value = environment.getitem(value, each)
    return value


def _subelements(value: object, subelements: object, skip_missing: bool = False) -> list[object]:
    if isinstance(value, Mapping):
        elements = list(value.values())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        elements = list(value)
    else:
        raise TypeError("obj must be a list of dicts or a nested dict")
    if isinstance(subelements, str):
        path = subelements.split(".")
    elif isinstance(subelements, list):
        path = [str(part) for part in subelements]
    else:
        raise TypeError("subelements must be a list or a string")
    found: list[object] = []
    for element in elements:
        values: object = element
        for part in path:
            if not isinstance(values, Mapping):
                raise TypeError("the key " + part + " should point to a dictionary, got '" + str(values) + "'")
            if part not in values:
                if skip_missing:
                    values = []
                    break
                raise Refused(f"could not find {part!r} key in iterated item {values!r}")
            values = values[part]
        if not isinstance(values, list):
            raise TypeError(f"the key {path[-1]!r} should point to a list, got {values!r}")
        found.extend([element, item] for item in values)
    return found


def _rekey_on_member(data: object, key: str, duplicates: str = "error") -> dict[object, object]:
    if duplicates not in ("error", "overwrite"):
        raise ValueError(f"duplicates parameter to rekey_on_member has unknown value: {duplicates}")
    if isinstance(data, Mapping):
        rows = list(data.values())
    elif isinstance(data, Sequence) and not isinstance(data, str):
        rows = list(data)
    else:
        raise TypeError("Type is not a valid list, set, or dict")
    made: dict[object, object] = {}
    for row in rows:
        if not isinstance(row, Mapping):
            raise TypeError("List item is not a valid dict")
        if key not in row:
            raise ValueError(f"Key {key!r} was not found.")
        if row[key] in made and duplicates == "error":
            raise ValueError(f"Key {row[key]!r} is not unique, cannot convert to dict.")
        made[row[key]] = row
    return made


def _lists(values: Iterable[Iterable[object]]) -> list[object]:
    return [list(value) for value in limited(values)]  # type: ignore[call-overload]


@jinja2.pass_environment
def _groupby(environment: jinja2.Environment, values: object, attribute: str | int, **options: object) -> list[object]:
    groups = jinja2.filters.sync_do_groupby(environment, values, attribute, **options)  # type: ignore[arg-type]
    return [GroupTuple(key, list(group)) for key, group in groups]


class GroupTuple(NamedTuple):
    """What groupby yields."""

    grouper: object
    list: Sequence[object]

    def __repr__(self) -> str:
        return tuple.__repr__(self)


def _counted(pick: Callable[..., Iterable[Iterable[object]]]) -> Plugin:
    def run(values: Iterable[object], *size: int) -> list[object]:
        return _lists(pick(list(values), *size))

    return run


@jinja2.pass_context
def _dict_of(_context: Context, pairs: Iterable[Sequence[object]]) -> dict[object, object]:
    return {pair[0]: pair[1] for pair in pairs}


def _dict_kv(value: object, key: object) -> dict[object, object]:
    return {key: value}


FILTERS: Mapping[str, Plugin] = {
    "unique": _unique,
    "union": _union,
    "intersect": _intersect,
    "difference": _difference,
    "symmetric_difference": _symmetric_difference,
    "flatten": _flatten,
    "combine": _combine,
    "dict2items": _dict2items,
    "items2dict": _items2dict,
    "extract": _extract,
    "subelements": _subelements,
    "rekey_on_member": _rekey_on_member,
    "groupby": _groupby,
    "zip": lambda *lists: _lists(zip(*lists, strict=False)),
    "zip_longest": lambda *lists, **options: _lists(itertools.zip_longest(*lists, **options)),
    "product": lambda *lists, **options: _lists(itertools.product(*lists, **options)),
    "combinations": _counted(itertools.combinations),
    "permutations": _counted(itertools.permutations),
    "community.general.dict": _dict_of,
    "community.general.dict_kv": _dict_kv,
}
