"""sources: what `-i` may name: a file in INI or YAML form, a program, a folder of these, or a list `h1,h2,`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from pybible.server.engine.inventory.addresses import BadAddress, parse_address
from pybible.server.engine.inventory.ini import IniReader
from pybible.server.engine.inventory.inventory import Inventory
from pybible.server.engine.inventory.script import ScriptReader
from pybible.server.engine.inventory.yaml_groups import YamlReader
from pybible.server.engine.model.text import origin_of
from pybible.server.engine.parsing.yaml_source import Decrypter, Warn, load_yaml, read_text
from pybible.wire.errors import ConfigError, Origin, ParseError, PybibleError

# Names in an inventory folder that are not inventories.
_IGNORED: Final = re.compile(
    r"^\.|^host_vars$|^group_vars$|^vars_plugins$"
    r"|(\.pyc|\.pyo|\.swp|\.bak|~|\.rpm|\.md|\.txt|\.rst|\.orig|\.cfg|\.retry)$"
)
_YAML_EXTENSIONS: Final = ("", ".yaml", ".yml", ".json")

NO_INVENTORY: Final = "No inventory was parsed, only implicit localhost is available"
ONLY_LOCALHOST: Final = (
    "provided hosts list is empty, only localhost is available. Note that the implicit localhost does not match 'all'"
)

_Reader: TypeAlias = Callable[[], None]


def load_inventory(
    sources: Sequence[str], *, vault: Decrypter | None = None, warn: Warn = lambda text: None
) -> Inventory:
    """Read every source into one inventory; later ones win. What can't be read is a warning, as in Ansible.

    Raises ConfigError for what pybible does not support yet (inventory plugins).
    """
    inventory = Inventory(vault=vault, warn=warn)
    inventory.read(partial(_read_all, inventory, [source for source in sources if source]))
    return inventory


def _read_all(inventory: Inventory, sources: Sequence[str]) -> None:
    for source in sources:
        if _read_source(inventory, source if _is_host_list(source) else _absolute(source)):
            inventory.sources.append(source)
    for source in sources:
        folder = source_folder(source)
        if folder is not None and folder not in inventory.source_folders:
            inventory.source_folders.append(folder)
    if inventory.sources:
        inventory.reconcile()
    else:
        inventory.warn(NO_INVENTORY)


def source_folder(source: str) -> Path | None:
    """Return the folder in which a source's group_vars and host_vars are, None for a list of hosts."""
    if _is_host_list(source):
        return None
    path = Path(_absolute(source))
    if os.path.isdir(path):  # noqa: PTH112
        return path
    return path.parent if os.path.isfile(path) else None  # noqa: PTH113


def _absolute(source: str) -> str:
    return os.path.abspath(os.path.expandvars(os.path.expanduser(source)))  # noqa: PTH100, PTH111 - keeps links


def _is_host_list(source: str) -> bool:
    # Not Path's methods, here and where sources are read: they raise for what is too long to name a file.
    return "," in source and not os.path.exists(source)  # noqa: PTH110


def _read_source(inventory: Inventory, source: str) -> bool:
    path = Path(source)
    if os.path.isdir(path):  # noqa: PTH112
        entries = sorted(entry.name for entry in path.iterdir() if not _IGNORED.search(entry.name))
        # Each is read, whatever became of the others.
        return any([_read_source(inventory, str(path / entry)) for entry in entries])  # noqa: C419
    before = set(inventory.hosts)
    failures: list[tuple[str, PybibleError]] = []
    for name, reader in _readers(inventory, source):
        try:
            reader()
        except ConfigError:
            raise
        except PybibleError as error:
            failures.append((name, error))
            continue
        for host in inventory.hosts.keys() - before:
            inventory.hosts[host].source = source
        return True
    for name, failure in failures:
        inventory.warn(f"Failed to parse inventory with '{name}' plugin: {failure}")
    inventory.warn(f"Unable to parse {source} as an inventory source")
    return False


def _readers(inventory: Inventory, source: str) -> list[tuple[str, _Reader]]:
    if _is_host_list(source):
        return [("host_list", lambda: _read_host_list(inventory, source))]
    path = Path(source)
    if not os.path.isfile(path):  # noqa: PTH113
        return []
    readers: list[tuple[str, _Reader]] = []
    if os.access(path, os.X_OK):
        readers.append(("script", ScriptReader(inventory, path).read))
    if path.suffix in _YAML_EXTENSIONS:
        readers.append(("yaml", lambda: _read_yaml(inventory, path)))
    if path.suffix != ".toml":
        readers.append(("ini", lambda: _read_ini(inventory, path)))
    return readers


def _read_host_list(inventory: Inventory, text: str) -> None:
    for entry in text.split(","):
        name = entry.strip()
        if not name:
            continue
        try:
            host, port = parse_address(name)
        except BadAddress:
            host, port = name, None
        if host not in inventory.hosts:
            inventory.add_host(host, group="ungrouped", port=port)


def _read_yaml(inventory: Inventory, path: Path) -> None:
    data = load_yaml(read_text(path, inventory.vault), str(path), warn=inventory.warn)
    if isinstance(data, dict) and "plugin" in data:
        origin = origin_of(next(key for key in data if key == "plugin")) or Origin(str(path))
        raise ConfigError(f"the inventory plugin {str(data['plugin'])!r} is not supported yet ({origin})")
    YamlReader(inventory, str(path)).read(data)


def _read_ini(inventory: Inventory, path: Path) -> None:
    try:
        IniReader(inventory, str(path)).read(read_text(path, inventory.vault))
    except ParseError as error:
        message = f"Failed to parse inventory: {error.message}"
        raise ParseError(message, origin=error.origin, hint=error.hint) from error
