"""precedence: which variables win. The one table; whatever collects variables only says at which level they stand.

Numbers and words are those of Ansible's page "Understanding variable precedence"; its number 1 is the command line's
own values (-u, ...). The inventory names its levels itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

# (name, Ansible's number), low to high.
TABLE: Final[tuple[tuple[str, int], ...]] = (
    # How the task's host would be reached, from the command line's values and keywords.
    ("reach", 1),
    ("role_defaults", 2),
    ("inventory_all", 3),
    ("inventory_groups", 3),
    ("inventory_group_vars_all", 4),
    ("playbook_group_vars_all", 5),
    ("inventory_group_vars", 6),
    ("playbook_group_vars", 7),
    ("inventory_host", 8),
    ("inventory_host_vars", 9),
    ("playbook_host_vars", 10),
    ("facts", 11),
    ("play", 12),
    ("vars_prompt", 13),
    ("vars_files", 14),
    ("role", 15),
    ("block", 16),
    ("task", 17),
    ("include_vars", 18),
    ("set_fact", 19),
    ("role_params", 20),
    ("include", 21),
    ("extra", 22),
    # What the engine itself says: inventory_hostname, groups, ...
    ("magic", 23),
)
LEVELS: Final = tuple(name for name, _ in TABLE)
_RANKS: Final = {name: rank for rank, name in enumerate(reversed(LEVELS))}

Layer: TypeAlias = Mapping[str, object]
# Level -> its layers; within a level the last one wins.
Layers: TypeAlias = Mapping[str, Sequence[Layer]]


class Layered(Mapping[str, object]):
    """Variables as one mapping: each name as the highest layer that has it says. Values are not rendered."""

    __slots__ = ("layers",)

    def __init__(self, layers: Sequence[Layer]) -> None:
        # Highest first.
        self.layers = layers

    def __getitem__(self, key: str) -> object:
        for layer in self.layers:
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return any(key in layer for layer in self.layers)

    def __iter__(self) -> Iterator[str]:
        return iter({key: None for layer in reversed(self.layers) for key in layer})

    def __len__(self) -> int:
        return len({key for layer in self.layers for key in layer})


class Merged(Layered):
    """Variables with hash_behaviour=merge: mappings of one name in several layers become one, higher ones win."""

    __slots__ = ()

    def __getitem__(self, key: str) -> object:
        value: object = None
        found = False
        for layer in reversed(self.layers):
            if key in layer:
                value = merged(value, layer[key]) if found else layer[key]
                found = True
        if not found:
            raise KeyError(key)
        return value


def merged(low: object, high: object) -> object:
    """Return two mappings as one, what is in `high` wins; anything else than two mappings is `high`."""
    if not (isinstance(low, dict) and isinstance(high, dict)):
        return high
    both = dict(low)
    for key, value in high.items():
        both[key] = merged(low[key], value) if key in low else value
    return both


def arranged(*sources: Layers, merge: bool = False) -> Layered:
    """Return the variables of all sources by the table; of one level in several sources, the first source wins.

    `merge`: mappings of the same name become one.
    """
    # The few levels that hold something, instead of all of them: it is done for every task on every host.
    held = [(level, found) for source in sources for level, found in source.items() if found]
    held.sort(key=lambda pair: _RANKS[pair[0]])
    layers: list[Layer] = []
    for _level, found in held:
        layers += found[::-1]
    return Merged(layers) if merge else Layered(layers)
