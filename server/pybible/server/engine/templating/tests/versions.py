"""versions: comparing versions: loosely, strictly, as SemVer, as PEP 440."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Final

from pybible.server.engine.templating.errors import Refused
from pybible.wire.values import JsonValue

_OPERATORS: Final[Mapping[str, Callable[[JsonValue, JsonValue], bool]]] = {
    "==": operator.eq,
    "=": operator.eq,
    "eq": operator.eq,
    "<": operator.lt,
    "lt": operator.lt,
    "<=": operator.le,
    "le": operator.le,
    ">": operator.gt,
    "gt": operator.gt,
    ">=": operator.ge,
    "ge": operator.ge,
    "!=": operator.ne,
    "<>": operator.ne,
    "ne": operator.ne,
}
_STRICT: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?", re.ASCII)
_SEMVER: Final = re.compile(
    r"(?P<core>(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*))"
    r"(?:-(?P<pre>(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?",
    re.ASCII,
)
_PEP440: Final = re.compile(
    r"v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[-_.]?(?P<pre>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?P<pre_n>\d*))?"
    r"(?:-(?P<post_implicit>\d+)|(?P<post>[-_.]?(?:post|rev|r)[-_.]?(?P<post_n>\d*)))?"
    r"(?P<dev>[-_.]?dev[-_.]?(?P<dev_n>\d*))?(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
    re.ASCII | re.IGNORECASE,
)


def _loose(text: str) -> list[int | str]:
    return [
        int(part) if part.isdigit() else part for part in re.split(r"(\d+|[a-z]+|\.)", text) if part and part != "."
    ]


def _strict(text: str) -> object:
    match = _STRICT.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid version number '{text}'")
    pre = (match[4], int(match[5])) if match[4] else ("z", 0)
    return int(match[1]), int(match[2]), int(match[3] or 0), pre


def _semver(text: str) -> object:
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid semantic version '{text}'")
    core = tuple(int(part) for part in match["core"].split("."))
    if match["pre"] is None:
        return core, 1, ()
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in match["pre"].split("."))
    return core, 0, parts


def _pep440(text: str) -> object:
    match = _PEP440.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"Invalid version: '{text}'")
    release = tuple(int(part) for part in match["release"].split("."))
    while len(release) > 1 and release[-1] == 0:
        release = release[:-1]
    names = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
    has_post = match["post"] is not None or match["post_implicit"] is not None
    post = int(match["post_n"] or match["post_implicit"] or 0) if has_post else -1
    dev = int(match["dev_n"] or 0) if match["dev"] else 1 << 62
    if match["pre"]:
        name = match["pre"].lower()
        pre: tuple[str, int] = (names.get(name, name), int(match["pre_n"] or 0))
    else:
        # A development release of a final one comes before its pre-releases.
        pre = ("", 0) if match["dev"] and not has_post else ("z", 0)
    local = tuple(
        (1, int(part), "") if part.isdigit() else (0, 0, part.lower())
        for part in re.split(r"[-_.]", match["local"] or "")
        if part
    )
    return int(match["epoch"] or 0), release, pre, post, dev, local


_TYPES: Final[Mapping[str, Callable[[str], object]]] = {
    "loose": _loose,
    "strict": _strict,
    "semver": _semver,
    "semantic": _semver,
    "pep440": _pep440,
}


def version(
    value: object, wanted: object, operator: str = "eq", strict: bool | None = None, version_type: str | None = None
) -> bool:
    """Compare two versions."""
    if strict is not None and version_type:
        raise ValueError("Cannot specify both 'strict' and 'version_type'")
    if value is None or not str(value):
        raise ValueError("Input version value cannot be empty")
    if wanted is None or not str(wanted):
        raise ValueError("Version parameter to compare against cannot be empty")
    kind = version_type or ("strict" if strict else "loose")
    if kind not in _TYPES:
        types = ", ".join(repr(name) for name in _TYPES)
        raise Refused(f"Invalid version type ({version_type}). Must be one of {types}")
    if operator not in _OPERATORS:
        operators = ", ".join(repr(name) for name in _OPERATORS)
        raise ValueError(f"Invalid operator type ({operator}). Must be one of {operators}")
    parse = _TYPES[kind]
    try:
        left, right = parse(str(value)), parse(str(wanted))
        if left != right:
            # Whatever the operator: versions that have no order can't be compared at all.
            _OPERATORS["lt"](left, right)
        return _OPERATORS[operator](left, right)
    except (TypeError, ValueError) as error:
        raise Refused(f"Version comparison failed: {error}") from error
