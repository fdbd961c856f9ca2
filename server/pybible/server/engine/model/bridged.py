"""bridged: a module that is not native, as the bridge found it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgedModule:
    """Where a module lies. `name` is its full name, redirects followed: `community.general.ini_file`. No path: nowhere.

    `utils` are folders of module_utils beside the playbook and its roles, innermost first: they come before
    ansible-core's. `roots` are the folders called `ansible_collections` from which it may import. `lacking` says why
    it can't be run, empty when it can.
    """

    name: str
    path: Path = Path()
    utils: tuple[Path, ...] = ()
    roots: tuple[Path, ...] = ()
    lacking: str = ""
