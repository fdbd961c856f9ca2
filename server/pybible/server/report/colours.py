"""colours: what Ansible paints in which colour, by its default settings."""

from __future__ import annotations

from enum import StrEnum


class Colour(StrEnum):
    """The colour of a kind of line, as the numbers of its escape sequence."""

    OK = "0;32"
    CHANGED = "0;33"
    SKIPPED = "0;36"
    INCLUDED = "0;36"
    FAILED = "0;31"
    ERROR = "0;31"
    UNREACHABLE = "1;31"
    IGNORED = "1;35"
    WARNING = "1;35"
    DEPRECATION = "0;35"
    VERBOSE = "0;34"
    # Task paths, retries, polls.
    DETAIL = "1;30"
    DIFF_ADDED = "0;32"
    DIFF_REMOVED = "0;31"
    DIFF_PLACE = "0;36"


def paint(text: str, colour: Colour | None, *, enabled: bool) -> str:
    """Return `text` in a colour, each of its lines on its own, so that a pager can cut anywhere."""
    if not enabled or colour is None:
        return text
    return "\n".join(f"\033[{colour}m{line}\033[0m" for line in text.split("\n"))
