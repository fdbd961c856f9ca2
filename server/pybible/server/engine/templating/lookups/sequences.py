"""sequences: the lookups sequence and subelements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Final

from pybible.server.engine.templating.errors import LookupFailed
from pybible.server.engine.templating.lookups.call import Lookup, LookupCall

_NUMBER: Final = r"(?:0x[0-9a-fA-F]+|0[0-7]+|-?[0-9]+)"
_SHORT: Final = re.compile(rf"(?:({_NUMBER})-)?({_NUMBER})(?:/({_NUMBER}))?(?::(.+))?")
_LIMIT: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Range:
    start: int = 1
    end: int | None = None
    count: int | None = None
    stride: int = 1
    format: str = "%d"


def _number(text: object, name: str) -> int:
    """Return a whole number: decimal, whatever zeros or what looks like another base may lead it."""
    try:
        number = Decimal(str(text))
        if number == number.to_integral_value():
            return int(number)
    except InvalidOperation:
        pass
    raise LookupFailed(
        f"Config '{name}' for 'sequence' lookup plugin from 'Direct' has an invalid value: "
        f"Invalid value provided for 'integer': {str(text)!r}"
    )


def _parse(term: str) -> _Range:
    short = _SHORT.fullmatch(term.strip())
    if short is not None:
        return _Range(
            start=1 if short[1] is None else _number(short[1], "start"),
            end=_number(short[2], "end"),
            stride=1 if short[3] is None else _number(short[3], "stride"),
            format=short[4] or "%d",
        )
    given: dict[str, object] = {}
    for word in term.split():
        name, separator, value = word.partition("=")
        if not separator or name not in ("start", "end", "count", "stride", "format"):
            raise LookupFailed(f"unrecognized arguments to with_sequence: [{name!r}]")
        given[name] = value
    return _with(_Range(), given)


def _with(wanted: _Range, given: Mapping[str, object]) -> _Range:
    named = {name: value for name, value in given.items() if name in ("start", "end", "count", "stride")}
    numbers = {name: _number(value, name) for name, value in named.items()}
    return replace(
        wanted,
        start=numbers.get("start", wanted.start),
        end=numbers.get("end", wanted.end),
        count=numbers.get("count", wanted.count),
        stride=numbers.get("stride", wanted.stride),
        format=str(given.get("format", wanted.format)),
    )


def _made(wanted: _Range) -> list[object]:
    if wanted.count is None and wanted.end is None:
        raise LookupFailed("must specify count or end in with_sequence")
    if wanted.count is not None and wanted.end is not None:
        raise LookupFailed("can't specify both count and end in with_sequence")
    end, stride = wanted.end, wanted.stride
    if wanted.count is not None:
        if wanted.count == 0:
            return []
        end = wanted.start + wanted.count * stride - 1 if stride > 0 else wanted.start + wanted.count * stride + 1
    assert end is not None  # noqa: S101 - one of both is there
    if stride > 0 and end < wanted.start:
        raise LookupFailed("to count backwards make stride negative")
    if stride < 0 and end > wanted.start:
        raise LookupFailed("to count forward don't make stride negative")
    if wanted.format.count("%") - 2 * wanted.format.count("%%") != 1:
        raise LookupFailed(f"bad formatting string: {wanted.format}")
    if stride == 0:
        return []
    numbers = range(wanted.start, end + (1 if stride > 0 else -1), stride)
    if len(numbers) > _LIMIT:
        raise LookupFailed(f"a sequence may have at most {_LIMIT} elements")
    try:
        return [wanted.format % number for number in numbers]
    except (TypeError, ValueError):
        raise LookupFailed(f"problem formatting {wanted.start!r} with {wanted.format!r}") from None


def _sequence(call: LookupCall) -> list[object]:
    if not call.terms:
        return _made(_with(_Range(), call.options))
    return [value for term in call.terms for value in _made(_with(_parse(str(term)), call.options))]


def _subelements(call: LookupCall) -> list[object]:
    terms = call.terms
    # with_subelements hands the whole over as one list.
    if len(terms) not in (2, 3) or not isinstance(terms[0], Mapping | list) or not isinstance(terms[1], str):
        raise LookupFailed("subelements lookup expects a list of two or three items,")
    options = terms[2] if len(terms) == 3 else {}
    skip = bool(options.get("skip_missing", False)) if isinstance(options, Mapping) else False
    elements: Sequence[object] = list(terms[0].values()) if isinstance(terms[0], Mapping) else terms[0]
    path = terms[1].split(".")
    found: list[object] = []
    for element in elements:
        if not isinstance(element, Mapping):
            raise LookupFailed("subelements lookup expects a dictionary, got '" + str(element) + "'")
        values = _reach(element, path)
        if values is None:
            if skip:
                continue
            raise LookupFailed(f"could not find {path[0]!r} key in iterated item '{dict(element)!r}'")
        if not isinstance(values, list):
            raise LookupFailed(f"the key {terms[1]} should point to a list, got '{values}'")
        found.extend([_without(element, path), value] for value in values)
    return found


def _reach(element: object, path: Sequence[str]) -> object:
    for part in path:
        if not isinstance(element, Mapping) or part not in element:
            return None
        element = element[part]
    return element


def _without(element: Mapping[object, object], path: Sequence[str]) -> dict[object, object]:
    """Return the element without the list that is at `path`."""
    left = {key: value for key, value in element.items() if key != path[0]}
    inner = element[path[0]]
    if len(path) > 1 and isinstance(inner, Mapping):
        left[path[0]] = _without(inner, path[1:])
    return left


LOOKUPS: Mapping[str, Lookup] = {"sequence": _sequence, "subelements": _subelements}
