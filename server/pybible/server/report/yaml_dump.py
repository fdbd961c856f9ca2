"""yaml_dump: a result in YAML, as Ansible's screen shows it with `result_format=yaml`."""

from __future__ import annotations

import json
import re
import textwrap
from typing import Final

import yaml

from pybible.server.report.dump import dump_value
from pybible.server.report.visible import visible
from pybible.wire.values import JsonObject, JsonValue

# What YAML takes for the end of a line.
_BREAKS: Final = "\n\r\x85\u2028\u2029"
_SPACES_BEFORE_BREAK: Final = re.compile(r" +([\n\x85\u2028\u2029])")
_INDENT: Final = 4


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block."""


class _EasyDumper(_Dumper):
    """Writes blocks even where YAML would have to quote: what stands in the way is left out."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if _has_lines(text) else None)


def _easy_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if _has_lines(text):
        text = _SPACES_BEFORE_BREAK.sub(r"\1", "".join(filter(_plain, text.rstrip().expandtabs())))
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text)


def _has_lines(text: str) -> bool:
    return any(character in text for character in _BREAKS)


def _plain(character: str) -> bool:
    """Whether a character may stand in a block."""
    return character in "\n\x85" or (character != "\ufeff" and character.isprintable()) or character == "\xa0"


_Dumper.add_representer(str, _text)
_EasyDumper.add_representer(str, _easy_text)


def dump_yaml(result: JsonObject, *, pretty: bool | None = None) -> str:
    """Return a result (without what is not to be shown) in YAML, indented, after a newline.

    Unless `pretty` is False, output that is there as text is not repeated as a list of lines.
    """
    easy = pretty in (None, True)
    shown: dict[str, JsonValue] = {}
    # By way of JSON only plain types are left.
    for key, value in json.loads(dump_value(result)).items():
        repeated = easy and key in ("stdout_lines", "stderr_lines") and key.removesuffix("_lines") in result
        shown[key] = "<omitted>" if repeated else value
    text = yaml.dump(
        shown,
        Dumper=_EasyDumper if easy else _Dumper,
        allow_unicode=True,
        default_flow_style=False,
        indent=_INDENT if easy else None,
        sort_keys=True,
    )
    return "\n" + textwrap.indent(visible(text), " " * _INDENT).rstrip("\n")
