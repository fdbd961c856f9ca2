"""yaml_scalars: plain YAML 1.1 scalars to Python values: yes is true, 0644 is octal, 1:30 is ninety."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import date, datetime
from typing import Final

from yaml import SafeLoader, ScalarNode
from yaml.constructor import SafeConstructor
from yaml.error import YAMLError

TAG: Final = "tag:yaml.org,2002:"
NULL, BOOL, INT, FLOAT, STR = TAG + "null", TAG + "bool", TAG + "int", TAG + "float", TAG + "str"
TIMESTAMP, BINARY, MERGE = TAG + "timestamp", TAG + "binary", TAG + "merge"

_BOOLEANS: Final = {"yes": True, "no": False, "true": True, "false": False, "on": True, "off": False}
# First character of a plain scalar -> what it may be. PyYAML's own table, so that both read the same.
_RESOLVERS: Final[dict[str, list[tuple[str, re.Pattern[str]]]]] = SafeLoader.yaml_implicit_resolvers


class BadScalar(ValueError):
    """A tagged scalar that is not what its tag says."""


def implicit_tag(text: str) -> str:
    """Return the tag of a plain scalar without one."""
    for tag, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            return tag
    return STR


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    if digits == "0":
        return 0
    if digits.startswith("0b"):
        return sign * int(digits[2:], 2)
    if digits.startswith("0x"):
        return sign * int(digits[2:], 16)
    if digits.startswith("0"):
        return sign * int(digits, 8)
    value = 0
    for part in digits.split(":"):
        value = value * 60 + int(part)
    return sign * value


def _floating(text: str) -> float:
    digits = text.replace("_", "").lower()
    sign = -1.0 if digits.startswith("-") else 1.0
    digits = digits.lstrip("+-")
    if digits == ".inf":
        return sign * float("inf")
    if digits == ".nan":
        return float("nan")
    value = 0.0
    for part in digits.split(":"):
        value = value * 60 + float(part)
    return sign * value


def _timestamp(text: str) -> date | datetime:
    value: object = SafeConstructor().construct_yaml_timestamp(ScalarNode(TIMESTAMP, text))
    if not isinstance(value, date):
        raise BadScalar(text)
    return value


def scalar_value(tag: str, text: str) -> object:
    """Return the value of a scalar whose tag is not that of text. Raises BadScalar; KeyError for an unknown tag."""
    try:
        if tag == NULL:
            return None
        if tag == BOOL:
            return _BOOLEANS[text.lower()]
        if tag == INT:
            return _integer(text)
        if tag == FLOAT:
            return _floating(text)
        if tag == TIMESTAMP:
            return _timestamp(text)
        if tag == BINARY:
            return base64.decodebytes(text.encode("ascii"))
    except (ValueError, KeyError, AttributeError, TypeError, binascii.Error, YAMLError) as error:
        raise BadScalar(f"{text!r} is not a value of type {tag.removeprefix(TAG)}") from error
    raise KeyError(tag)
