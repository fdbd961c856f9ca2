"""free_form: `module: k=v k2="v 2" {{ x }}` taken apart, quotes and templates kept whole."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pybible.server.engine.model.text import SourceDict, Trusted, origin_of
from pybible.server.engine.parsing.known import COMMAND_OPTIONS
from pybible.wire.errors import ParseError

_ESCAPE: Final = re.compile(r"""\\U[0-9a-fA-F]{8}|\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\N\{[^}]+\}|\\[\\'"abfnrtv]""")
_TEMPLATE_PAIRS: Final = (("{{", "}}"), ("{%", "%}"), ("{#", "#}"))


@dataclass(slots=True)
class _State:
    """What is still open between one word and the next."""

    quote: str = ""
    depths: dict[str, int] = field(default_factory=lambda: {opening: 0 for opening, _ in _TEMPLATE_PAIRS})

    @property
    def open(self) -> bool:
        return bool(self.quote) or any(self.depths.values())

    def feed(self, word: str) -> None:
        before = ""
        for character in word:
            if character in "\"'" and before != "\\":
                if not self.quote:
                    self.quote = character
                elif self.quote == character:
                    self.quote = ""
            before = character
        for opening, closing in _TEMPLATE_PAIRS:
            change = word.count(opening) - word.count(closing)
            self.depths[opening] = max(0, self.depths[opening] + change)


def split_args(text: str) -> list[str]:
    """Return the words of `text`, each with the spaces that follow it but one, and its newline.

    A word does not end within quotes or a template. Raises ParseError when one of these is left open.
    """
    words: list[str] = []
    state = _State()
    lines = text.split("\n") if text else []
    for number, line in enumerate(lines):
        continued = False
        for index, word in enumerate(line.split(" ")):
            if not word and index:
                _append(words, " ")
            elif word == "\\" and not state.quote:
                continued = True
            else:
                glued = state.open
                state.feed(word)
                if glued:
                    words[-1] += (" " if index else "") + word
                elif word:
                    words.append(word)
        if number < len(lines) - 1 and not continued:
            _append(words, "\n")
    if state.open:
        raise ParseError(
            f"failed at splitting arguments, either an unbalanced jinja2 block or quotes: {text}",
            origin=origin_of(text),
        )
    return words


def _append(words: list[str], space: str) -> None:
    if words:
        words[-1] += space
    else:
        words.append(space)


def join_words(words: Iterable[str]) -> str:
    """Undo `split_args`."""
    joined = ""
    for word in words:
        joined += word if not joined or joined.endswith("\n") else " " + word
    return joined


def unquote(text: str) -> str:
    """Return `text` without the quotes around it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[-2] != "\\":
        return text[1:-1]
    return text


def _unescaped(word: str) -> str:
    return _ESCAPE.sub(lambda found: codecs.decode(found.group(0), "unicode-escape"), word)


def _equals(word: str) -> int:
    """Return where the first `=` is that is not escaped nor at the beginning, -1 for none, -2 for only escaped ones."""
    if "=" not in word:
        return -1
    position = word.find("=", 1)
    while position > 0 and word[position - 1] == "\\":
        position = word.find("=", position + 1)
    return position if position > 0 else -2


def parse_args(text: str, *, command: bool) -> dict[str, object]:
    """Return the k=v pairs of `text`; everything else together under `_raw_params`.

    For a `command` only a few keys are options, the rest belongs to the command. Trust and place of `text` go to
    every part. Raises ParseError.
    """
    pairs: dict[str, str] = {}
    rest: list[str] = []
    for word in split_args(text):
        plain = _unescaped(word)
        position = _equals(plain)
        if position == -2:
            rest.append(plain.replace("\\=", "="))
        elif position < 0 or (command and plain[:position] not in COMMAND_OPTIONS):
            rest.append(word)
        else:
            pairs[plain[:position].strip()] = unquote(plain[position + 1 :].strip())
    if rest:
        pairs["_raw_params"] = join_words(rest)
    if not isinstance(text, Trusted):
        return dict(pairs)
    origin = text.origin
    return SourceDict(((Trusted(key, origin), Trusted(value, origin)) for key, value in pairs.items()), origin)
