"""yaml_errors: what is wrong with a line that is not YAML, in words that help to put it right.

The texts are those of ansible-core 2.19, so that what people find about them on the web applies.
"""

from __future__ import annotations

import re
from typing import Final

from yaml.error import MarkedYAMLError, YAMLError

from pybible.wire.errors import Origin, ParseError

PREFIX: Final = "YAML parsing failed: "

_TEMPLATE = re.compile(r"^\s*(?:-\s+)*(?:[\w\s]+:\s+)?(?P<value>\{\{.*}})")
_VALUE = re.compile(r"^\s*(?:-\s+)*(?:[\w\s\[\]{}]+:\s+)?(?P<value>.*)$")
_QUOTED_VALUE = re.compile(r"^\s*(?:-\s+)*(?:[\w\s]+:\s+)?(?P<value>[\"'].*?\s*)$")
_WHOLLY_QUOTED = re.compile(r"""^\s*('[^']*'|"[^"]*")\s*$""")


def _example(wrong: str, right: str) -> str:
    return f"\nFor example:\n\n    raw: {wrong}\n\nShould be:\n\n    raw: {right}\n"


def _explain(line: str) -> tuple[str, int, str] | None:
    """Return (message, column from 1, hint) of a common mistake in `line`."""
    if "\t" in line:
        return "Tabs are usually invalid in YAML.", line.index("\t") + 1, ""
    found = _TEMPLATE.search(line)
    if found:
        message = "This may be an issue with missing quotes around a template block."
        return message, found.start("value") + 1, _example("{{ some_var }}", '"{{ some_var }}"')
    found = None if line.lstrip().startswith(":") else _VALUE.search(line)
    if found:
        rest = _WHOLLY_QUOTED.sub(lambda quoted: "." * len(quoted.group(0)), found.group("value"))
        colon = re.search(r":($| )", rest)
        if colon:
            message = "Colons in unquoted values must be followed by a non-space character."
            column = found.start("value") + colon.start() + 1
            return message, column, _example("echo 'name: ansible'", "\"echo 'name: ansible'\"")
    found = _QUOTED_VALUE.search(line)
    if found:
        value, column = found.group("value"), found.start("value") + 1
        if value[0] != value[-1]:
            message = "Values starting with a quote must end with the same quote."
            return message, column, _example('"foo" in bar', "'\"foo\" in bar'")
        if line.count(value[0]) > 2:
            message = "Values starting with a quote must end with the same quote, and not contain that quote."
            return message, column, _example('"foo" in "bar"', '\'"foo" in "bar"\'')
    return None


def explained_error(message: str, *, text: str, origin: Origin) -> ParseError:
    """Return the error for `origin` in `text`: a common mistake in that line's words, else `message`."""
    lines = text.splitlines()
    explained = _explain(lines[origin.line - 1]) if 0 < origin.line <= len(lines) else None
    if explained is None:
        return ParseError(PREFIX + message, origin=origin)
    message, column, hint = explained
    return ParseError(PREFIX + message, origin=Origin(origin.file, origin.line, column), hint=hint)


def syntax_error(error: YAMLError, *, text: str, file: str) -> ParseError:
    """Return the error that tells the operator what libyaml could not read."""
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return ParseError(PREFIX + " ".join(str(error).split()), origin=Origin(file))
    words = " ".join(" ".join(filter(None, (error.context, error.problem, error.note))).split())
    message = words[:1].upper() + words[1:]
    if not message.endswith("."):
        message += "."
    mark = error.problem_mark
    return explained_error(message, text=text, origin=Origin(file, mark.line + 1, mark.column + 1))
