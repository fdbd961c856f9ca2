"""options: how inventories are read, as ansible.cfg can ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ENABLED: Final = ("host_list", "script", "auto", "yaml", "ini", "toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryOptions:
    """`enabled` are the plugins that are tried for each source, in this order."""

    enabled: tuple[str, ...] = ENABLED
    # What a pattern that means nobody is: warning, error or ignore.
    pattern_mismatch: str = "warning"
    # What other characters in group names are: always and silently make them `_`, never warns, ignore is silent.
    group_characters: str = "never"
    unparsed_is_failed: bool = False
    any_unparsed_is_failed: bool = False
    unparsed_warning: bool = True


DEFAULTS: Final = InventoryOptions()
