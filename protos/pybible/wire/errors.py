"""errors: every exception that an operator may see, and the exit status that each means.

PybibleError                    something the operator can put right: one line, no traceback
├── UsageError                  the command line is wrong                        exit 5
├── ConfigError                 a configuration file or a state folder is wrong  exit 1
├── ConnectionFailed            the other end can't be reached, or refused us    exit 1
├── AccessDenied                the other end knows us, and says no              exit 1
├── ProtocolError               the other end sent what it may not               exit 1
└── SourceError                 a file of the operator's is wrong, at a place    exit 1
    ├── ParseError              ... and can't be read as what it should be       exit 4
    ├── TemplateError           ... and a template in it fails
    └── VaultError              ... and can't be decrypted

Anything that is not a PybibleError is a bug: traceback, "this is a bug in pybible", exit 250.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

# The longest line of a file that an excerpt shows whole, its number included.
_EXCERPT_COLUMNS = 120


class ExitStatus(IntEnum):
    """The exit status of pybible-ctl, as ansible-playbook's."""

    OK = 0
    ERROR = 1
    HOSTS_FAILED = 2
    HOSTS_UNREACHABLE = 4
    PARSER_ERROR = 4
    BAD_OPTIONS = 5
    RUN_INTERRUPTED = 8
    CANCELLED = 99
    BUG = 250


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in a file: line and column count from 1, 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


class PybibleError(Exception):
    """Something the operator can put right. `str()` of it is what the operator reads."""

    exit_status = ExitStatus.ERROR

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(PybibleError):
    """The command line is wrong."""

    exit_status = ExitStatus.BAD_OPTIONS


class ConfigError(PybibleError):
    """A configuration file or a state folder is wrong."""


class ConnectionFailed(PybibleError):
    """The other end can't be reached, or ended the connection."""


class AccessDenied(PybibleError):
    """The other end knows who asks, and refuses."""


class ProtocolError(PybibleError):
    """The other end sent something that the protocol does not allow."""


class SourceError(PybibleError):
    """A file of the operator's is wrong, at `origin`; `hint` says what was expected or the nearest right word."""

    def __init__(self, message: str, *, origin: Origin | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.origin = origin

    def __str__(self) -> str:
        parts = [self.message]
        if self.origin is not None:
            parts.append(f"Origin: {self.origin}")
            excerpt = source_excerpt(self.origin)
            if excerpt:
                parts.append(f"\n{excerpt}\n")
        if self.hint:
            parts.append(self.hint)
        return "\n".join(parts)


class ParseError(SourceError):
    """A file can't be read as what it should be: YAML, a keyword, a value's type."""

    exit_status = ExitStatus.PARSER_ERROR


class TemplateError(SourceError):
    """A template or an expression fails."""


class VaultError(SourceError):
    """Vaulted text can't be decrypted."""


# How wide an excerpt's lines are, their numbers included.
_EXCERPT_WIDTH = 120


def source_excerpt(origin: Origin, *, context: int = 2) -> str:
    """Return the lines before and at `origin`, numbered, with a caret under its column; empty if unreadable."""
    if not origin.line:
        return ""
    try:
        lines = Path(origin.file).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    if lines[0].startswith("$ANSIBLE_VAULT;"):
        return "(source not shown: content encrypted)"
    if not lines[-1]:
        lines.pop()
    if origin.line > len(lines):
        return "(source not shown: file truncated)"
    width = len(str(origin.line))
    room = _EXCERPT_WIDTH - width - 1
    shown: list[str] = []
    usable = room
    for number in range(max(1, origin.line - context), origin.line + 1):
        line = lines[number - 1].rstrip("\r").replace("\t", " ")
        if len(line) > room:
            line = line[: room - 3] + "..."
            usable = room - 3
        shown.append(f"{number:>{width}} {line}" if line else f"{number:>{width}}")
    if 1 <= origin.column <= usable:
        mark, before = f"column {origin.column}", origin.column - 1
        fits = before + 2 + len(mark) <= room
        pointer = " " * before + f"^ {mark}" if fits else " " * (before - len(mark) - 1) + f"{mark} ^"
        shown.append(" " * (width + 1) + pointer)
    return "\n".join(shown)
