"""visible: text of somebody else's without the power to steer a terminal, or to look like another line of a log."""

from __future__ import annotations

import re

# C0 but tab and newline, DEL, C1 (eight-bit CSI among them), the separators of lines and paragraphs, and what turns
# the direction of writing around.
STEERING = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_steering = re.compile(f"[{STEERING}]")
_breaking = re.compile(f"[{STEERING}\t\n]")


def visible(text: str) -> str:
    """Return `text` with its control characters spelled out (`\\x1b`). Newlines, tabs and all letters stay."""
    return _steering.sub(spelled, text.replace("\r\n", "\n"))


def visible_line(text: str) -> str:
    """Do the same for what is one of several things on a line, as a name is: newlines and tabs are spelled out too."""
    return _breaking.sub(spelled, text)


def visible_json(text: str) -> str:
    """Do the same for JSON that was written with ensure_ascii off: below a space it has no control characters left."""
    return _steering.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def is_visible(text: str) -> bool:
    """Tell whether nothing in `text` would be spelled out by `visible`."""
    return _steering.search(text) is None


def spelled(match: re.Match[str]) -> str:
    """Return the one character of a match in letters."""
    code = ord(match[0])
    short = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
