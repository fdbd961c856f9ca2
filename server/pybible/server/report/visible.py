"""visible: text from hosts that can't steer the operator's terminal; and the stream that lets no other pass."""

from __future__ import annotations

import io
import re
import sys
from typing import TextIO

from pybible.wire.visible import STEERING as STEERING
from pybible.wire.visible import is_visible as is_visible
from pybible.wire.visible import spelled
from pybible.wire.visible import visible as visible
from pybible.wire.visible import visible_json as visible_json
from pybible.wire.visible import visible_line as visible_line

# What reports steer a terminal with: the colours of `paint`, and a line that is written anew.
_OURS = "\x1b\\[[01](?:;3[0-7])?m|\r\x1b\\[2K"
_guarded = re.compile(f"({_OURS})|[{STEERING}]")


def guarded(text: str) -> str:
    """Return what a report writes with nothing in it that steers a terminal but colours and the beginning of a line.

    Each report spells out what is not its own; this is for the one that forgets.
    """
    return _guarded.sub(lambda match: match[0] if match[1] else spelled(match), text)


class VisibleStream(io.TextIOWrapper):
    """Standard output or error, on which whatever is written is visible. Its `buffer` takes bytes as they are."""

    def write(self, text: str) -> int:
        """Write a text."""
        super().write(visible(text))
        return len(text)


def guard_standard_streams() -> None:
    """Make standard output and error of this process visible streams."""
    sys.stdout = _visible(sys.stdout)
    sys.stderr = _visible(sys.stderr)


def _visible(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    line_buffering = stream.line_buffering
    return VisibleStream(stream.detach(), encoding="utf-8", errors="replace", line_buffering=line_buffering)
