"""values: tests of text, numbers, lists and versions."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from pybible.server.engine.model.text import Vaulted
from pybible.server.engine.templating.filters.values import as_bool
from pybible.server.engine.templating.lazy import type_name
from pybible.server.engine.templating.plugins import Plugin
from pybible.server.engine.templating.tests.versions import version
from pybible.server.engine.vault import Decrypted

_MATCHERS = {"search", "match", "fullmatch"}


def _regex(
    value: object = "", pattern: str = "", ignorecase: bool = False, multiline: bool = False, match_type: str = "search"
) -> bool:
    if match_type not in _MATCHERS:
        raise ValueError(f"Invalid match_type specified. Expected one of: {', '.join(sorted(_MATCHERS))}.")
    flags = (re.IGNORECASE if ignorecase else 0) | (re.MULTILINE if multiline else 0)
    text = str(value)
    compiled = re.compile(pattern, flags)
    found = {"search": compiled.search, "match": compiled.match, "fullmatch": compiled.fullmatch}[match_type](text)
    return found is not None


def _match(value: object, pattern: str = "", ignorecase: bool = False, multiline: bool = False) -> bool:
    return _regex(value, pattern, ignorecase, multiline, "match")


def _search(value: object, pattern: str = "", ignorecase: bool = False, multiline: bool = False) -> bool:
    return _regex(value, pattern, ignorecase, multiline, "search")


def _contains(container: object, value: object) -> bool:
    return value in container  # type: ignore[operator]


def _any(values: Iterable[object]) -> bool:
    return any(values)


def _all(values: Iterable[object]) -> bool:
    return all(values)


def _subset(first: Iterable[object], second: Iterable[object]) -> bool:
    other = list(second)
    return all(value in other for value in first)


def _superset(first: Iterable[object], second: Iterable[object]) -> bool:
    return _subset(second, first)


def _truthy(value: object, convert_bool: bool = False) -> bool:
    if convert_bool and isinstance(value, str):
        known = as_bool(value)
        value = value if known is None else known
    return bool(value)


def _falsy(value: object, convert_bool: bool = False) -> bool:
    return not _truthy(value, convert_bool)


def _nan(value: object) -> bool:
    try:
        return math.isnan(value)  # type: ignore[arg-type]
    except TypeError:
        return False


def _vault_encrypted(value: object) -> bool:
    return isinstance(value, Vaulted | Decrypted)


def _uri(value: object, schemes: list[str] | None = None) -> bool:
    try:
        parts = urlsplit(str(value))
    except ValueError:
        return False
    # As ansible-core: without `schemes` anything that can be taken apart is one.
    return not schemes or parts.scheme in schemes


def _url(value: object, schemes: list[str] | None = None) -> bool:
    if not _uri(value, schemes):
        return False
    parts = urlsplit(str(value))
    return bool(parts.scheme and parts.netloc) or parts.scheme == "file"


def _urn(value: object) -> bool:
    return re.match(r"urn:.", str(value), re.IGNORECASE) is not None


TESTS: Mapping[str, Plugin] = {
    "match": _match,
    "search": _search,
    "regex": _regex,
    "contains": _contains,
    "any": _any,
    "all": _all,
    "subset": _subset,
    "issubset": _subset,
    "superset": _superset,
    "issuperset": _superset,
    "truthy": _truthy,
    "falsy": _falsy,
    "nan": _nan,
    "isnan": _nan,
    "vault_encrypted": _vault_encrypted,
    "uri": _uri,
    "url": _url,
    "urn": _urn,
    "version": version,
    "version_compare": version,
    # LazyDict and LazyList are what templates see of containers.
    "mapping": lambda value: type_name(value) == "dict" or isinstance(value, Mapping),
}
