"""errors: what goes wrong in a template, level by level, in ansible-core 2.19's words.

An error names one level ("Error while resolving value for 'msg'") and the place in the operator's files that belongs to
it; its cause is the next level in. `message_of` is the one line of a task's result, `report_of` the long form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pybible.wire.errors import Origin, ParseError, SourceError, TemplateError, source_excerpt

_PYTHONS: Final = {"Trusted": "str", "Vaulted": "str", "Decrypted": "str", "LazyDict": "dict", "LazyList": "list"}
_OURS: Final = re.compile(rf"\b(?:pybible\.[\w.]+\.)?({'|'.join(_PYTHONS)})\b")


class UndefinedVariable(TemplateError):
    """A name, attribute or element that is not there was used."""


class PluginError(TemplateError):
    """A filter, a test or a lookup failed, or does not exist."""


class BadKeyword(TemplateError):
    """A keyword's value is not of the keyword's kind. It is told apart from its cause, which has the same place."""


class Refused(Exception):
    """Raised by a filter or test for a value that it does not take; told as a level of its own."""


class LookupFailed(Exception):
    """Raised by a lookup: what the operator asked for can't be had."""


def told(error: Exception) -> str:
    """Return what an exception says, with Python's own types in place of those that stand for them here."""
    return _OURS.sub(lambda match: _PYTHONS[match[1]], str(error))


def levels(error: BaseException) -> Iterator[SourceError]:
    """Yield `error` and its causes, outermost first, as far as they are the operator's to put right."""
    seen: BaseException | None = error
    while isinstance(seen, SourceError):
        yield seen
        seen = seen.__cause__


def message_of(error: SourceError) -> str:
    """Return one line: every level's message, joined by colons."""
    parts = [level.message for level in levels(error)]
    return ": ".join([part.removesuffix(".") for part in parts[:-1]] + parts[-1:])


def report_of(error: SourceError) -> str:
    """Return the whole: the one line, then every level with its place and the lines around it."""
    blocks = _merged(error)
    if len(blocks) == 1:
        return _block(message_of(error), blocks[0][1], blocks[0][2])
    shown = []
    for index, (messages, origin, hint) in enumerate(blocks):
        text = ": ".join([part.removesuffix(".") for part in messages[:-1]] + messages[-1:])
        if index < len(blocks) - 1 and not text.endswith("."):
            text += "."
        shown.append(_block(text, origin, hint))
    return f"{message_of(error)}\n\n" + "\n\n<<< caused by >>>\n\n".join(shown)


def _merged(error: SourceError) -> list[tuple[list[str], Origin | None, str]]:
    """Put levels of one place together."""
    blocks: list[tuple[list[str], Origin | None, str]] = []
    apart = False
    for level in levels(error):
        if blocks and not apart and level.origin is not None and level.origin == blocks[-1][1]:
            messages, origin, hint = blocks[-1]
            blocks[-1] = ([*messages, level.message], origin, hint or level.hint)
        else:
            blocks.append(([level.message], level.origin, level.hint))
        apart = isinstance(level, BadKeyword | ParseError)
    return blocks


def _block(message: str, origin: Origin | None, hint: str) -> str:
    parts = [message]
    if origin is not None:
        parts[0] += f"\nOrigin: {origin}"
        excerpt = source_excerpt(origin)
        if excerpt:
            parts.append(excerpt)
    if hint:
        parts.append(hint)
    return "\n\n".join(parts)
