"""text: filters that search, split and decorate text."""

from __future__ import annotations

import pprint
import re
from collections.abc import Mapping
from typing import Final

from pybible.server.engine.templating.errors import Refused
from pybible.server.engine.templating.plugins import Plugin

# Style -> what comment() puts where.
_STYLES: Final[Mapping[str, Mapping[str, str]]] = {
    "plain": {"decoration": "# "},
    "erlang": {"decoration": "% "},
    "c": {"decoration": "// "},
    "cblock": {"beginning": "/*", "decoration": " * ", "end": " */"},
    "xml": {"beginning": "<!--", "decoration": " - ", "end": "-->"},
}


def _flags(ignorecase: bool, multiline: bool) -> int:
    return (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)


def _regex_replace(
    value: object = "",
    pattern: str = "",
    replacement: str = "",
    ignorecase: bool = False,
    multiline: bool = False,
    count: int = 0,
    mandatory_count: int = 0,
) -> str:
    output, replaced = re.compile(pattern, _flags(ignorecase, multiline)).subn(replacement, str(value), count)
    if mandatory_count and mandatory_count != replaced:
        raise ValueError(
            f"{pattern!r} should match {mandatory_count} times, but matches {replaced} times in {str(value)!r}"
        )
    return output


def _regex_findall(value: object, regex: str, multiline: bool = False, ignorecase: bool = False) -> object:
    return re.compile(regex, _flags(ignorecase, multiline)).findall(str(value))


def _regex_search(value: object, regex: str, *groups: str, **options: object) -> object:
    wanted: list[str | int] = []
    for group in groups:
        if match := re.fullmatch(r"\\g<(\S+)>", group):
            wanted.append(match[1])
        elif match := re.fullmatch(r"\\(\d+)", group):
            wanted.append(int(match[1]))
        else:
            raise ValueError("Unknown argument")
    flags = _flags(bool(options.get("ignorecase")), bool(options.get("multiline")))
    found = re.compile(regex, flags).search(str(value))
    if found is None:
        return None
    return [found.group(group) for group in wanted] if wanted else found.group()


def _regex_escape(value: object, re_type: str = "python") -> str:
    text = str(value)
    if re_type == "python":
        return re.escape(text)
    if re_type == "posix_basic":
        return re.sub(r"([].[^$*\\])", r"\\\1", text)
    if re_type == "posix_extended":
        raise ValueError(f"Regex type ({re_type}) not yet implemented")
    raise ValueError(f"Invalid regex type ({re_type})")


def _split(value: object, delimiter: str | None = None, maxsplit: int = -1) -> list[str]:
    return str(value).split(delimiter, maxsplit)


def _comment(value: object, style: str = "plain", **options: object) -> str:
    known = _STYLES.get(style)
    if known is None:
        raise Refused(f"Invalid style '{style}'.")
    given = {"prefix": "", "prefix_count": 1, "postfix": "", "postfix_count": 1, "newline": "\n"}
    given |= {"beginning": "", "end": "", "decoration": "", **known, **options}
    decoration, newline = str(given["decoration"]), str(given["newline"])
    edge = decoration.rstrip()
    prefix = str(options.get("prefix", edge))
    postfix = str(options.get("postfix", edge))
    lines = [f"{decoration}{line}" for line in str(value).replace(newline, "\n").split("\n")]
    body = newline.join(lines)
    beginning = f"{given['beginning']}{newline}" if given["beginning"] else ""
    before = f"{prefix}{newline}" * int(str(given["prefix_count"])) if prefix else ""
    after = f"{newline}{postfix}" * int(str(given["postfix_count"])) if postfix else ""
    end = f"{newline}{given['end']}" if given["end"] else ""
    return f"{beginning}{before}{body}{after}{end}"


def _pprint(value: object) -> str:
    # As ansible-core's containers: on one line, in their own order.
    return repr(value) if isinstance(value, dict | list) else pprint.pformat(value)


FILTERS: Mapping[str, Plugin] = {
    "regex_replace": _regex_replace,
    "regex_findall": _regex_findall,
    "regex_search": _regex_search,
    "regex_escape": _regex_escape,
    "split": _split,
    "comment": _comment,
    "pprint": _pprint,
}
