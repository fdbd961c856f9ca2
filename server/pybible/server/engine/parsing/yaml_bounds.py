"""yaml_bounds: whether YAML that anybody may have written can be loaded: its depth, and what its aliases stand for."""

from __future__ import annotations

from typing import Final

import yaml
from yaml import events
from yaml.cyaml import CSafeLoader

MAX_DEPTH: Final = 100
# Values in a text, each alias counted as all that it stands for.
MAX_VALUES: Final = 1_000_000
TOO_DEEP: Final = f"the YAML is nested more than {MAX_DEPTH} levels deep"
TOO_MANY: Final = f"the YAML holds more than {MAX_VALUES} values once its aliases are expanded"


def check_yaml(text: str) -> None:
    """Refuse what libyaml's loader would overflow the stack on, or what would grow. Raises ValueError, YAMLError."""
    count = 0
    # For each collection that is open: its anchor, and the count at its beginning.
    open_ones: list[tuple[str | None, int]] = []
    weights: dict[str, int] = {}
    for event in yaml.parse(text, Loader=CSafeLoader):
        if isinstance(event, events.ScalarEvent):
            count += 1
            if event.anchor is not None:
                weights[event.anchor] = 1
        elif isinstance(event, events.AliasEvent):
            # One that stands inside itself counts once: what is loaded then refers to itself.
            count += weights.get(str(event.anchor), 1)
        elif isinstance(event, events.CollectionStartEvent):
            open_ones.append((event.anchor, count))
            count += 1
            if len(open_ones) > MAX_DEPTH:
                raise ValueError(TOO_DEEP)
        elif isinstance(event, events.CollectionEndEvent):
            anchor, began = open_ones.pop()
            if anchor is not None:
                weights[anchor] = count - began
        if count > MAX_VALUES:
            raise ValueError(TOO_MANY)
