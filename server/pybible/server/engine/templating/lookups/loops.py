"""loops: lookups that arrange values, made for with_X."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping

from pybible.server.engine.templating.errors import LookupFailed
from pybible.server.engine.templating.lookups.call import Lookup, LookupCall


def _list(call: LookupCall) -> list[object]:
    return call.terms


def _flat(values: list[object]) -> list[object]:
    flat: list[object] = []
    for value in values:
        if isinstance(value, list | tuple):
            flat.extend(value)
        else:
            flat.append(value)
    return flat


def _items(call: LookupCall) -> list[object]:
    return _flat(call.terms)


def _indexed_items(call: LookupCall) -> list[object]:
    return [[index, value] for index, value in enumerate(_flat(call.terms))]


def _dict(call: LookupCall) -> list[object]:
    # One dict alone may come as itself.
    found: list[object] = []
    for term in call.terms:
        if not isinstance(term, Mapping):
            raise LookupFailed(
                f"the 'dict' lookup plugin expects a dictionary, got {str(term)!r} of type {type(term)})"
            )
        found.extend({"key": key, "value": value} for key, value in term.items())
    return found


def _nested(call: LookupCall) -> list[object]:
    if not call.terms:
        raise LookupFailed("with_nested requires at least one element in the nested list")
    lists = [term if isinstance(term, list) else [term] for term in call.terms]
    return [_flat(list(combination)) for combination in itertools.product(*lists)]


def _together(call: LookupCall) -> list[object]:
    if not call.terms:
        raise LookupFailed("with_together requires at least one element in each list")
    lists = [term if isinstance(term, list) else [term] for term in call.terms]
    return [_flat(list(combination)) for combination in itertools.zip_longest(*lists, fillvalue=None)]


def _flattened(call: LookupCall) -> list[object]:
    return list(_all_in(call.terms))


def _all_in(values: Iterable[object]) -> Iterator[object]:
    """Yield what is in lists of lists; the text None or null ends the list that it stands in (community.general)."""
    for value in values:
        if value in ("None", "null"):
            return
        if isinstance(value, list | tuple):
            yield from _all_in(value)
        else:
            yield value


def _random_choice(call: LookupCall) -> list[object]:
    return [random.choice(call.terms)] if call.terms else []  # noqa: S311


LOOKUPS: Mapping[str, Lookup] = {
    "list": _list,
    "items": _items,
    "indexed_items": _indexed_items,
    "dict": _dict,
    "nested": _nested,
    "together": _together,
    "random_choice": _random_choice,
    "flattened": _flattened,
    "community.general.flattened": _flattened,
}
