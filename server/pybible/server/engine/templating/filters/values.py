"""values: filters about single values: defaults, booleans, numbers, times, sizes."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import jinja2

from pybible.server.engine.model.notices import deprecated
from pybible.server.engine.templating.errors import Refused
from pybible.server.engine.templating.lazy import type_name
from pybible.server.engine.templating.plugins import Plugin, impure
from pybible.server.engine.templating.undefined import UndefinedValue

_TRUE: Final = ("yes", "on", "1", "true", "y", "t")
_FALSE: Final = ("no", "off", "0", "false", "n", "f")
_UNITS: Final = ("Y", "Z", "E", "P", "T", "G", "M", "K", "B")
_SIZES: Final = {unit: 1 << (10 * (8 - index)) for index, unit in enumerate(_UNITS)}
_WORDS: Final = {
    "Y": "yotta", "Z": "zetta", "E": "exa", "P": "peta", "T": "tera", "G": "giga", "M": "mega", "K": "kilo",
}  # fmt: skip


def as_bool(text: str) -> bool | None:
    """Return what a text says as a boolean, None when it says neither."""
    lowered = text.lower()
    return True if lowered in _TRUE else False if lowered in _FALSE else None


@jinja2.pass_context
def _bool(context: jinja2.runtime.Context, value: object) -> bool:
    word = str(value).lower() if isinstance(value, str | int) else value
    if word in ("yes", "on", "true", "1"):
        return True
    if word in ("no", "off", "false", "0"):
        return False
    result = word == 1
    shown = repr(str.__str__(value)) if isinstance(value, str) else repr(value)
    told = f"The `bool` filter coerced invalid value {shown} ({type_name(value)}) to {result}."
    context.owner.warn(deprecated(told))  # type: ignore[attr-defined]
    return result


def _mandatory(value: object, msg: str | None = None) -> object:
    if isinstance(value, UndefinedValue):
        if msg is not None:
            raise ValueError(str(msg))
        name = value._undefined_name
        called = f"'{name}' " if isinstance(name, str) else ""
        raise ValueError(f"Mandatory variable {called}not defined.")
    return value


def _ternary(value: object, true_value: object, false_value: object, none_value: object = None) -> object:
    if value is None and none_value is not None:
        return none_value
    return true_value if bool(value) else false_value


def _type_debug(value: object) -> str:
    if isinstance(value, UndefinedValue):
        return "UndefinedMarker"
    return type_name(value)


def _log(value: float, base: float = math.e) -> float:
    try:
        return math.log10(value) if base == 10 else math.log(value, base)
    except TypeError as error:
        raise TypeError(f"log() can only be used on numbers: {error}") from error


def _pow(value: float, power: float) -> float:
    try:
        return math.pow(value, power)
    except TypeError as error:
        raise TypeError(f"pow() can only be used on numbers: {error}") from error


def _root(value: float, base: float = 2) -> float:
    try:
        return math.sqrt(value) if base == 2 else math.pow(value, 1.0 / float(base))
    except (TypeError, ValueError) as error:
        raise TypeError(f"root() can only be used on numbers: {error}") from error


def _human_readable(size: object, isbits: bool = False, unit: str | None = None) -> str:
    try:
        number = float(str(size))
    except ValueError:
        raise ValueError(f"human_readable() failed on bad input: {size!r} is not a number") from None
    base = "bits" if isbits else "Bytes"
    for suffix in _UNITS:
        limit = _SIZES[suffix]
        if (unit is None and number >= limit) or (unit is not None and unit.upper() == suffix):
            break
    else:
        suffix, limit = "B", 1
    label = base if limit == 1 else f"{suffix}{'b' if isbits else 'B'}"
    return f"{number / limit:.2f} {label}"


def _human_to_bytes(size: object, default_unit: str | None = None, isbits: bool = False) -> int:
    return round(_size(str(size), default_unit, isbits))


def _size(size: str, default_unit: str | None, isbits: bool) -> float:
    told = "human_to_bytes() can't interpret the input: human_to_bytes()"
    match = re.search(r"^([0-9]*\.?[0-9]+)(?:\s*([A-Za-z]+))?\s*$", size)
    if match is None:
        raise ValueError(f"{told} can't interpret following string: {size}")
    number, unit = float(match[1]), match[2] or default_unit
    if not unit:
        return number
    letter = unit[0].upper()
    if letter not in _SIZES:
        units = ", ".join(_UNITS)
        raise ValueError(f"{told} failed to convert {size} (unit = {unit}). The suffix must be one of {units}")
    small, word = ("b", "bit") if isbits else ("B", "byte")
    short = letter if letter == small.upper() else f"{letter}{small}"
    long = f"{_WORDS.get(letter, '')}{word}"
    if len(unit) > 1 and unit != short and unit.lower() != long:
        other = word if letter == "B" else letter
        raise ValueError(f"{told} failed to convert {size}. Value is not a valid string (expect {short} or {other})")
    return number * _SIZES[letter]


def _to_datetime(value: object, format: str = "%Y-%m-%d %H:%M:%S") -> datetime:
    if not isinstance(value, str):
        raise TypeError(f"strptime() argument 1 must be str, not {type_name(value)}")
    return datetime.strptime(value, format)


def _strftime(format: object, second: object = None, utc: bool = False) -> str:
    moment = time.gmtime if utc else time.localtime
    if second is None:
        return time.strftime(str(format), moment())
    try:
        seconds = float(str(second))
    except ValueError:
        raise Refused(f"Invalid value for epoch value ({second})") from None
    return time.strftime(str(format), moment(seconds))


def _random(end: object, start: int | None = None, step: int | None = None, seed: object = None) -> object:
    source = random.SystemRandom() if seed is None else random.Random(_seed(seed))  # noqa: S311 - as asked
    if isinstance(end, int):
        return source.randrange(start or 0, end, step or 1)
    if hasattr(end, "__iter__"):
        if start is not None or step is not None:
            raise ValueError("start and step can only be used with integer values")
        return source.choice(list(end))
    raise ValueError("random can only be used on sequences and integers")


def _shuffle(values: object, seed: object = None) -> object:
    try:
        shuffled = list(values)  # type: ignore[call-overload]
    except TypeError:
        return values
    source = random.SystemRandom() if seed is None else random.Random(_seed(seed))  # noqa: S311 - as asked
    source.shuffle(shuffled)
    return shuffled


def _seed(seed: object) -> int | float | str | bytes | bytearray:
    return seed if isinstance(seed, int | float | bytes | bytearray) else str(seed)


FILTERS: Mapping[str, Plugin] = {
    "bool": _bool,
    "mandatory": _mandatory,
    "ternary": _ternary,
    "type_debug": _type_debug,
    "log": _log,
    "pow": _pow,
    "root": _root,
    "human_readable": _human_readable,
    "human_to_bytes": _human_to_bytes,
    "to_datetime": _to_datetime,
    "strftime": impure(_strftime),
    "random": impure(_random),
    "shuffle": impure(_shuffle),
}
