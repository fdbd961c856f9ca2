"""visible: text from hosts without the power to steer the operator's terminal."""

from __future__ import annotations

import re

# C0 but tab and newline, DEL, C1 (eight-bit CSI among them), and what turns the direction of writing around.
_steering = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return `text` with its control characters spelled out (`\\x1b`). Newlines, tabs and all letters stay."""
    return _steering.sub(_spell, text.replace("\r\n", "\n"))


def visible_json(text: str) -> str:
    """Do the same for JSON that was written with ensure_ascii off: below a space it has no control characters left."""
    return _steering.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
