"""styles: how a module wants to be run, as its text tells."""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import dropwhile

_PYTHON_IMPORT = re.compile(
    rb"^\s*(?:from|import)\s+(?:ansible\.module_utils|ansible_collections\.[\w.]+\.plugins\.module_utils|\.{1,3}module_utils)"
    rb"|^\s*from\s+\.{2,3}\s*[\w.]*\s*import\s+module_utils",
    re.MULTILINE,
)
_COMMON = b"#<<INCLUDE_ANSIBLE_MODULE_COMMON>>"
JSON_ARGUMENTS = b"<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>"
# Bytes that no text has.
_BINARY = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_LOOKED_AT = 4096


class Style(StrEnum):
    """How arguments reach a module: in Python's own way, in a file of JSON, in its text, in a file of k=v."""

    PYTHON = "python"
    BINARY = "binary"
    WANT_JSON = "want_json"
    JSON_ARGUMENTS = "json_args"
    OLD = "old"


def style_of(text: bytes) -> Style:
    """Return the style of a module's file."""
    if _BINARY.search(text[:_LOOKED_AT]):
        return Style.BINARY
    if _COMMON in text or _PYTHON_IMPORT.search(text):
        return Style.PYTHON
    if JSON_ARGUMENTS in text:
        return Style.JSON_ARGUMENTS
    return Style.WANT_JSON if b"WANT_JSON" in text else Style.OLD


def interpreter_of(text: bytes) -> tuple[str, ...]:
    """Return the words behind a file's `#!`, none when it has no such line."""
    if not text.startswith(b"#!"):
        return ()
    line = text.split(b"\n", 1)[0][2:].decode("utf-8", "replace")
    words = line.split()
    if words and words[0].rpartition("/")[2] == "env":
        words = list(dropwhile(lambda word: word.startswith("-"), words[1:]))
    return tuple(words)
