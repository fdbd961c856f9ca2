"""limits: how much a template may make of a little: texts, lists and numbers that would fill the memory at once."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from pybible.wire.errors import TemplateError

# What one rendering may produce, in characters.
OUTPUT_LIMIT = 64 * 1024 * 1024
# What an operator or a filter may make: elements of a list, bits of a number.
ELEMENTS_LIMIT = 1_000_000
BITS_LIMIT = 1_000_000

_OPERATIONS: Mapping[str, Callable[[object, object], object]] = {
    "+": operator.add,
    "*": operator.mul,
    "**": operator.pow,
}
# Jinja has these looked at before they are done.
INTERCEPTED = frozenset(_OPERATIONS)


def too_much_text() -> TemplateError:
    """Return the error for a text that is too long."""
    return TemplateError(f"a template may produce at most {OUTPUT_LIMIT // 1024 // 1024} MiB of text")


def too_many_elements() -> TemplateError:
    """Return the error for a list that is too long."""
    return TemplateError(f"a template may make lists of at most {ELEMENTS_LIMIT} elements")


def operate(name: str, left: object, right: object) -> object:
    """Do `left NAME right`. Raises TemplateError for what would be too large."""
    if name == "+":
        _check_size(left, _size(left) + _size(right))
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if name == "**" else left.bit_length() + right.bit_length()
        if bits > BITS_LIMIT and abs(left) > 1:
            raise TemplateError(f"a template may make numbers of at most {BITS_LIMIT} bits")
    elif name == "*":
        repeated, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(times, int):
            _check_size(repeated, _size(repeated) * times)
    return _OPERATIONS[name](left, right)


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else 0


def _check_size(kind: object, size: int) -> None:
    if isinstance(kind, list | tuple):
        if size > ELEMENTS_LIMIT:
            raise too_many_elements()
    elif size > OUTPUT_LIMIT:
        raise too_much_text()


def limited(values: Iterable[object]) -> Iterator[object]:
    """Yield values as long as they are not too many."""
    rest = iter(values)
    yield from islice(rest, ELEMENTS_LIMIT)
    for _ in rest:
        raise too_many_elements()


def check_range(numbers: range) -> None:
    """Refuse a range that a filter would make a list of."""
    # Not len(): that of a very long range does not fit.
    if numbers and abs(numbers[-1] - numbers[0]) // abs(numbers.step) >= ELEMENTS_LIMIT:
        raise too_many_elements()
