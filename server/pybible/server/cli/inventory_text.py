"""inventory_text: variables as they are written, in JSON and YAML, as ansible-inventory prints them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, time

import yaml

from pybible.server.engine.model.text import Trusted, Vaulted
from pybible.server.report.visible import is_visible, visible_json


def json_text(value: object, *, mark_data: bool = False) -> str:
    """Return JSON. `mark_data`: text that is no template is marked, so that it is none to whoever reads it back."""
    return visible_json(json.dumps(_json_value(value, mark_data), sort_keys=True, indent=4, ensure_ascii=False))


def _json_value(value: object, mark: bool) -> object:
    if isinstance(value, Vaulted):
        return {"__ansible_vault": value.ciphertext}
    if isinstance(value, str):
        return {"__ansible_unsafe": value} if mark and not isinstance(value, Trusted) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _json_value(item, mark) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(item, mark) for item in value]
    return value.isoformat() if isinstance(value, date | time) else value


class _Dumper(yaml.SafeDumper):
    """Writes what this engine's files hold."""

    def ignore_aliases(self, data: object) -> bool:
        """Write dates again instead of pointing to the first."""
        return isinstance(data, date | time) or bool(super().ignore_aliases(data))


def _vaulted(dumper: _Dumper, value: Vaulted) -> yaml.ScalarNode:
    return dumper.represent_scalar("!vault", value.ciphertext, style="|")


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # In double quotes whatever steers a terminal may be spelled out.
    if not is_visible(text):
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')
    return dumper.represent_str(str(text))


_Dumper.add_multi_representer(str, _text)
_Dumper.add_multi_representer(dict, lambda dumper, value: dumper.represent_dict(value))
_Dumper.add_multi_representer(list, lambda dumper, value: dumper.represent_list(value))
_Dumper.add_representer(Vaulted, _vaulted)


def yaml_text(value: object) -> str:
    """Return YAML."""
    return visible_json(yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True))
