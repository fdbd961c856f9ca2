"""terminal: the operator's two streams, how wide they are, and whether they take colour."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO

from pybible.server.report.colours import Colour, paint
from pybible.server.report.visible import guarded

Writer = Callable[[str], None]

# What stock Ansible assumes where it can't ask.
NARROWEST = 79


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """Where a report goes. `out` and `err` take whole texts with their newlines; `width` is in columns."""

    out: Writer
    err: Writer
    width: int = NARROWEST
    colour: bool = False

    def line(self, text: str, colour: Colour | None = None, *, error: bool = False) -> None:
        """Write a text and a newline, unless it ends in one."""
        body = text.removesuffix("\n")
        (self.err if error else self.out)(paint(body, colour, enabled=self.colour) + "\n")

    def banner(self, text: str) -> None:
        """Write a heading: an empty line, the text, and stars up to the width."""
        text = text.strip()
        stars = max(3, self.width - _columns(text))
        self.line(f"\n{text} " + "*" * stars)


def standard_terminal(
    environment: Mapping[str, str] = os.environ, *, force_colour: bool = False, no_colour: bool = False
) -> Terminal:
    """Return this process's own terminal. `force_colour` and `no_colour` are what ansible.cfg says."""
    interactive = sys.stdout.isatty()
    columns = shutil.get_terminal_size((NARROWEST + 1, 24)).columns if interactive else 0
    return Terminal(
        out=_writer(sys.stdout),
        err=_writer(sys.stderr),
        width=max(NARROWEST, columns - 1),
        colour=force_colour or (not no_colour and wants_colour(environment, interactive=interactive)),
    )


def wants_colour(environment: Mapping[str, str], *, interactive: bool) -> bool:
    """Say whether to paint: forced by ANSIBLE_FORCE_COLOR, forbidden by NO_COLOR or ANSIBLE_NOCOLOR, else by where."""
    if _is_set(environment.get("ANSIBLE_FORCE_COLOR")):
        return True
    if environment.get("NO_COLOR") or _is_set(environment.get("ANSIBLE_NOCOLOR")):
        return False
    return interactive and environment.get("TERM", "dumb") != "dumb"


def _is_set(value: str | None) -> bool:
    return value is not None and value.strip().lower() not in {"", "0", "no", "n", "false", "f", "off"}


def _columns(text: str) -> int:
    if text.isascii() and text.isprintable():
        return len(text)
    import unicodedata

    return sum(_width_of(character, unicodedata.east_asian_width(character)) for character in text)


def _width_of(character: str, kind: str) -> int:
    import unicodedata

    # Newlines and what else steers a terminal, and what stands over or in between other characters.
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cc", "Cf"):
        return 0
    return 2 if kind in "WF" else 1


def _writer(stream: TextIO) -> Writer:
    closed = False

    def write(text: str) -> None:
        nonlocal closed
        if closed:
            return
        try:
            stream.buffer.write(guarded(text).encode("utf-8", "replace"))
            stream.buffer.flush()
        except BrokenPipeError:
            # Whoever read it has gone (`| head`). The hosts still get their tasks, and the exit status still counts.
            closed = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    return write
