"""patterns: host patterns taken apart: `web:&eu:!web3`, `db[0:2]`, `~web\\d+`, `*.example.com`."""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pybible.server.engine.inventory.addresses import BadAddress, parse_address
from pybible.wire.errors import ExitStatus, PybibleError

_PIECE = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")
_SUBSCRIPT = re.compile(r"^(.+)\[(?:(-?[0-9]+)|([0-9]+)([:-])([0-9]*))\]$")


class BadOrder(PybibleError):
    """A play asks for an order of hosts that there is not."""

    exit_status = ExitStatus.BAD_OPTIONS


class BadPattern(PybibleError):
    """A host pattern that can't be used."""


@dataclass(frozen=True, slots=True)
class Subscript:
    """`[first]` (last None) or `[first:last]`, both included, -1 for the end."""

    first: int
    last: int | None = None

    def pick(self, names: list[str], pattern: str) -> list[str]:
        """Return the names that are meant. Raises BadPattern when there is none."""
        if self.last is None or self.last == 0:
            try:
                return [names[self.first]]
            except IndexError:
                raise BadPattern(f"No hosts matched the subscripted pattern '{pattern}'") from None
        last = len(names) - 1 if self.last == -1 else self.last
        return names[self.first : last + 1]


def split_patterns(pattern: object) -> list[str]:
    """Return the single patterns of a text or of a list of texts, separated by commas, else by colons."""
    if isinstance(pattern, list | tuple):
        return [piece for item in pattern for piece in split_patterns(item)]
    text = str(pattern)
    if "," in text:
        pieces = text.split(",")
    else:
        try:
            parse_address(text, allow_ranges=True)
            pieces = [text]
        except BadAddress:
            pieces = _PIECE.findall(text)
    return [piece.strip() for piece in pieces if piece.strip()]


def order_patterns(patterns: Iterable[str]) -> list[str]:
    """Return unions first, then intersections, then exclusions. Without a union, all hosts are the start."""
    listed = [pattern for pattern in patterns if pattern]
    unions = [pattern for pattern in listed if pattern[0] not in "&!"]
    return [
        *(unions or ["all"]),
        *(pattern for pattern in listed if pattern[0] == "&"),
        *(pattern for pattern in listed if pattern[0] == "!"),
    ]


def split_subscript(pattern: str) -> tuple[str, Subscript | None]:
    """Return the pattern without `[n]` or `[n:m]`, and that."""
    found = None if pattern.startswith("~") else _SUBSCRIPT.match(pattern)
    if found is None:
        return pattern, None
    expression, index, first, _, last = found.groups()
    if index:
        return expression, Subscript(int(index))
    return expression, Subscript(int(first), int(last) if last else -1)


def matcher(pattern: str) -> re.Pattern[str]:
    """Return what the names must match from their beginning: `~` starts a regular expression, else a glob."""
    try:
        with warnings.catch_warnings():
            # `[[` may mean something else in a later Python.
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(pattern[1:] if pattern.startswith("~") else fnmatch.translate(pattern))
    except re.error as error:
        raise BadPattern(f"Invalid host list pattern: {pattern}") from error


def is_glob(pattern: str) -> bool:
    """Whether hosts are looked at even if a group matches."""
    return pattern.startswith("~") or any(character in pattern for character in ".?*[")


def read_limit(limit: str) -> list[str]:
    """Return the single patterns of --limit; `@file` stands for the lines of a file. Raises BadPattern."""
    patterns: list[str] = []
    for piece in split_patterns(limit):
        if not piece.startswith("@"):
            patterns.append(piece)
            continue
        path = Path(piece[1:])
        try:
            if not path.exists():
                raise BadPattern(f"Unable to find limit file {path}")
            if not path.is_file():
                raise BadPattern(f'Limit starting with "@" must be a file, not a directory: {path}')
            patterns.extend(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError) as error:
            raise BadPattern(f"Unable to read limit file {path}: {error}") from error
    return [pattern for pattern in patterns if pattern]
