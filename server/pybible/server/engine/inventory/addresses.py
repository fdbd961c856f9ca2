"""addresses: host names with ports and ranges: `www[01:50:2].example.com:2222`."""

from __future__ import annotations

import ipaddress
import re
import string
from typing import Final

_BRACKETED_PORT = re.compile(r"^\[(?P<host>.+)\]:(?P<port>[0-9]+)$")
_HOST_PORT = re.compile(r"^(?P<host>(?:[^:\[\]]|\[[^\]]*\])*):(?P<port>[0-9]+)$")
_RANGE = re.compile(r"\[([a-z]|[0-9]+):(?:[a-z]|[0-9]+)(?::[0-9]+)?\]", re.IGNORECASE)
_HEX_RANGE = re.compile(r"\[([0-9a-f]+):[0-9a-f]+(?::[0-9]+)?\]", re.IGNORECASE)
_LABEL = re.compile(r"\w(?:[\w-]*[^\W_])?\Z", re.UNICODE)

# A range of more names than this is a slip of the pen.
MAX_NAMES: Final = 100_000


class BadAddress(ValueError):
    """A text that is not a host name, an address or a range of them."""


def is_address(text: str) -> bool:
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_valid(host: str) -> bool:
    named = _RANGE.sub(lambda found: found.group(1), host)
    if is_address(named) or is_address(_HEX_RANGE.sub(lambda found: found.group(1), host)):
        return True
    return bool(named) and all(_LABEL.match(label) for label in named.split("."))


def parse_address(text: str, *, allow_ranges: bool = False) -> tuple[str, int | None]:
    """Return (host, port or None). An IPv6 address needs brackets to have a port. Raises BadAddress."""
    host, port = text, None
    for pattern in (_BRACKETED_PORT, _HOST_PORT):
        found = pattern.match(host)
        if found:
            host, port = found.group("host"), int(found.group("port"))
    if not _is_valid(host):
        raise BadAddress(f"Not a valid network hostname: {host}")
    if not allow_ranges and "[" in host:
        raise BadAddress("Detected range in host but was asked to ignore ranges")
    return host, port


def _sequence(bounds: list[str]) -> list[str]:
    begin, end = bounds[0] or "0", bounds[1]
    step = int(bounds[2]) if len(bounds) == 3 else 1
    if not end:
        raise BadAddress("host range must specify end value")
    if step < 1:
        raise BadAddress("host range must have a step of at least 1")
    width = 0
    if begin[0] == "0" and len(begin) > 1:
        width = len(begin)
        if width != len(end):
            raise BadAddress("host range must specify equal-length begin and end formats")
    if len(begin) == len(end) == 1 and begin in string.ascii_letters and end in string.ascii_letters:
        first, last = string.ascii_letters.index(begin), string.ascii_letters.index(end)
        if first > last:
            raise BadAddress("host range must have begin <= end")
        return list(string.ascii_letters[first : last + 1 : step])
    numbers = range(int(begin), int(end) + 1, step)
    if len(numbers) > MAX_NAMES:
        raise BadAddress(f"a host range may hold at most {MAX_NAMES} names")
    return [str(number).zfill(width) for number in numbers]


def expand_ranges(text: str) -> list[str]:
    """Return the names that `db[1:3]-[a:c]` stands for, in order. Raises BadAddress."""
    names = [""]
    rest = text
    while "[" in rest:
        head, _, tail = rest.partition("[")
        if "]" in head:
            raise BadAddress("host range must be begin:end or begin:end:step")
        inner, bracket, rest = tail.partition("]")
        bounds = inner.split(":")
        if not bracket or len(bounds) not in (2, 3):
            raise BadAddress("host range must be begin:end or begin:end:step")
        try:
            sequence = _sequence(bounds)
        except ValueError as error:
            raise error if isinstance(error, BadAddress) else BadAddress(str(error)) from error
        if len(names) * len(sequence) > MAX_NAMES:
            raise BadAddress(f"a host range may hold at most {MAX_NAMES} names")
        names = [name + head + item for name in names for item in sequence]
    return [name + rest for name in names]


def expand_hosts(text: str) -> tuple[list[str], int | None]:
    """Return the host names of an inventory entry, and its port. Raises BadAddress for a bad range."""
    try:
        host, port = parse_address(text, allow_ranges=True)
    except BadAddress:
        host, port = text, None
    return expand_ranges(host), port
