"""text: what the operator's own files hold, told apart from data by its type.

Only `Trusted` text may ever be rendered as a template. Whatever came from a host, a lookup or a prompt is plain `str`
and stays as it is, however often it is passed on. (ansible-core 2.19 follows the same rule with a tag.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

from pybible.wire.errors import Origin


class Trusted(str):
    """Text from a file or an option of the operator's, with the place where it stands."""

    __slots__ = ("origin",)
    origin: Origin | None

    def __new__(cls, text: str, origin: Origin | None = None) -> Self:
        """Mark `text` as the operator's own."""
        self = super().__new__(cls, text)
        self.origin = origin
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[str, Origin | None]]:
        """Keep the mark in copies."""
        return type(self), (str(self), self.origin)


class Vaulted:
    """A `!vault` value: encrypted text of the operator's, decrypted when it is used."""

    __slots__ = ("ciphertext", "origin")

    def __init__(self, ciphertext: str, origin: Origin | None = None) -> None:
        self.ciphertext = ciphertext
        self.origin = origin


class SourceDict(dict[str, object]):
    """A mapping read from a file, with the place where it begins. Its keys are Trusted and know their own."""

    __slots__ = ("origin",)

    def __init__(
        self, items: Mapping[str, object] | Iterable[tuple[str, object]] = (), origin: Origin | None = None
    ) -> None:
        super().__init__(items)
        self.origin = origin


class SourceList(list[object]):
    """A list read from a file, with the place where it begins."""

    __slots__ = ("origin",)

    def __init__(self, items: Iterable[object] = (), origin: Origin | None = None) -> None:
        super().__init__(items)
        self.origin = origin


def origin_of(value: object) -> Origin | None:
    """Return where `value` stands in the operator's files, None when it does not say."""
    return getattr(value, "origin", None)


def is_template(value: object) -> bool:
    """Whether rendering `value` could change it: trusted text with a Jinja delimiter in it."""
    return isinstance(value, Trusted) and ("{{" in value or "{%" in value or "{#" in value)
