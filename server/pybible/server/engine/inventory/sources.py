"""sources: what `-i` may name: a file in INI, YAML or TOML form, a program, a folder of these, or a list `h1,h2,`.

Plugins are tried in the order of the setting enable_plugins, as in Ansible: each looks at the name first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from pybible.server.engine.inventory.addresses import BadAddress, expand_hosts, parse_address
from pybible.server.engine.inventory.ini import IniReader
from pybible.server.engine.inventory.inventory import Inventory, InventoryError
from pybible.server.engine.inventory.options import DEFAULTS, InventoryOptions
from pybible.server.engine.inventory.script import ScriptReader
from pybible.server.engine.inventory.toml_groups import TomlReader
from pybible.server.engine.inventory.yaml_groups import YamlReader
from pybible.server.engine.model.text import origin_of
from pybible.server.engine.parsing.yaml_source import Decrypter, Warn, load_yaml, read_text
from pybible.wire.errors import Origin, ParseError, PybibleError

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

# Reads the YAML file of an inventory plugin, given its content, into an inventory.
PluginReader: TypeAlias = Callable[[Inventory, Path, Mapping[str, object]], None]
_Reader: TypeAlias = Callable[[], None]


def load_inventory(
    sources: Sequence[str],
    *,
    vault: Decrypter | None = None,
    warn: Warn = lambda text: None,
    options: InventoryOptions = DEFAULTS,
    plugins: Mapping[str, PluginReader] | None = None,
) -> Inventory:
    """Read every source into one inventory; later ones win. What can't be read is a warning, as in Ansible.

    `plugins` are those that YAML files ask for by `plugin: NAME`. Raises InventoryError for what `options` make one.
    """
    inventory = Inventory(vault=vault, warn=warn, options=options)
    reader = _Sources(inventory, plugins or {})
    inventory.read(partial(reader.read, [source for source in sources if source]))
    return inventory


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


class _Declined(PybibleError):
    """A plugin has seen that a source is not for it."""


def _is_yaml(source: str) -> bool:
    return Path(source).suffix in (".yml", ".yaml")


def _is_config(source: str) -> bool:
    return Path(source).suffix in ("", ".config", ".yml", ".yaml", ".json")


@dataclass(slots=True)
class _Document:
    """A source as YAML, read when the first plugin asks for it."""

    inventory: Inventory
    path: Path
    content: object = None
    is_read: bool = False

    def get(self) -> object:
        """Return it. Raises ParseError."""
        if not self.is_read:
            text = read_text(self.path, self.inventory.vault)
            self.content, self.is_read = load_yaml(text, str(self.path), warn=self.inventory.warn), True
        return self.content


class _Sources:
    """Reads sources, one after the other, into one inventory."""

    def __init__(self, inventory: Inventory, plugins: Mapping[str, PluginReader]) -> None:
        self._inventory = inventory
        self._plugins = plugins

    def read(self, sources: Sequence[str]) -> None:
        """Read them all. Raises InventoryError when the options make a failure one."""
        inventory = self._inventory
        for source in sources:
            if self._read_source(source if _is_host_list(source) else _absolute(source)):
                inventory.sources.append(source)
        inventory.source_folders.clear()
        for source in sources:
            folder = source_folder(source)
            if folder is not None:
                inventory.add_source_folder(folder)
        if inventory.sources:
            inventory.reconcile()
        elif inventory.options.unparsed_is_failed:
            raise InventoryError("No inventory was parsed, please check your configuration and options.")
        elif inventory.options.unparsed_warning:
            inventory.warn(NO_INVENTORY)

    def _read_source(self, source: str) -> bool:
        path = Path(source)
        if os.path.isdir(path):  # noqa: PTH112
            entries = sorted(entry.name for entry in path.iterdir() if not _IGNORED.search(entry.name))
            # Each is read, whatever became of the others.
            return any([self._read_source(str(path / entry)) for entry in entries])  # noqa: C419
        before = set(self._inventory.hosts)
        failures: list[tuple[str, PybibleError]] = []
        for name, reader in self._readers(source):
            try:
                reader()
            except _Declined:
                continue
            except PybibleError as error:
                failures.append((name, error))
                if name == "auto":
                    # A plugin's file is nothing that others could read.
                    break
                continue
            for host in self._inventory.hosts.keys() - before:
                self._inventory.hosts[host].source = source
            folder = source_folder(source)
            if folder is not None:
                # Plugins that look at variables see those beside the sources that are read already.
                self._inventory.add_source_folder(folder)
            return True
        self._failed(source, failures)
        return False

    def _failed(self, source: str, failures: Sequence[tuple[str, PybibleError]]) -> None:
        for name, failure in failures:
            self._inventory.warn(f"Failed to parse inventory with '{name}' plugin: {failure}")
        if self._inventory.options.any_unparsed_is_failed:
            raise InventoryError(f"Completely failed to parse inventory source {source}")
        self._inventory.warn(f"Unable to parse {source} as an inventory source")

    def _readers(self, source: str) -> list[tuple[str, _Reader]]:
        """Return the enabled plugins that would read a source of that name."""
        inventory, path = self._inventory, Path(source)
        is_file, is_list = os.path.isfile(path), _is_host_list(source)  # noqa: PTH113
        document = _Document(inventory, path)
        known: dict[str, tuple[bool, _Reader]] = {
            "host_list": (is_list, lambda: _read_host_list(inventory, source)),
            "advanced_host_list": (is_list, lambda: _read_host_list(inventory, source, ranges=True)),
            "script": (is_file and os.access(path, os.X_OK), lambda: ScriptReader(inventory, path).read()),
            "auto": (is_file and _is_yaml(source), lambda: self._read_auto(document)),
            "yaml": (is_file and path.suffix in _YAML_EXTENSIONS, lambda: _read_yaml(document)),
            "ini": (is_file and path.suffix != ".toml", lambda: _read_ini(inventory, path)),
            "toml": (is_file and path.suffix == ".toml", lambda: _read_toml(inventory, path)),
        }
        for name in self._plugins:
            known[name] = (is_file and _is_config(source), partial(self._read_plugin, name, document))
        readers: list[tuple[str, _Reader]] = []
        for enabled in inventory.options.enabled:
            name = _short(enabled)
            if name not in known:
                inventory.warn(f"Failed to load inventory plugin, skipping {enabled}")
            elif known[name][0]:
                readers.append((name, known[name][1]))
        return readers

    def _read_auto(self, document: _Document) -> None:
        """Read the file of whatever plugin it names."""
        path = document.path
        try:
            data = document.get()
        except PybibleError as error:
            # What is wrong with it, the plugin for YAML inventories will tell.
            raise _Declined(error.message) from error
        name = data.get("plugin") if isinstance(data, dict) else None
        if not name or not isinstance(data, dict):
            raise _Declined("no root 'plugin' key found")
        reader = self._plugins.get(_short(str(name)))
        if reader is None:
            raise ParseError(
                f"inventory config '{path}' specifies unknown plugin '{name}'",
                origin=origin_of(name),
                hint=f"There are: {', '.join(sorted(self._plugins))}.",
            )
        reader(self._inventory, path, data)

    def _read_plugin(self, name: str, document: _Document) -> None:
        data = document.get()
        named = data.get("plugin") if isinstance(data, dict) else None
        if not isinstance(data, dict) or _short(str(named)) != name:
            raise ParseError(
                f"Incorrect plugin name in file: {named or 'none found'}", origin=Origin(str(document.path))
            )
        self._plugins[name](self._inventory, document.path, data)


def _short(name: str) -> str:
    return name.removeprefix("ansible.builtin.").removeprefix("ansible.legacy.")


def _read_host_list(inventory: Inventory, text: str, *, ranges: bool = False) -> None:
    for entry in text.split(","):
        name = entry.strip()
        if not name:
            continue
        names, port = [name], None
        try:
            if ranges:
                names, port = expand_hosts(name)
            else:
                host, port = parse_address(name)
                names = [host]
        except BadAddress:
            pass
        for each in names:
            if each not in inventory.hosts:
                inventory.add_host(each, group="ungrouped", port=port)


def _read_yaml(document: _Document) -> None:
    data = document.get()
    if isinstance(data, dict) and data.get("plugin"):
        raise ParseError("Plugin configuration YAML file, not YAML inventory", origin=origin_of(data))
    YamlReader(document.inventory, str(document.path)).read(data)


def _read_ini(inventory: Inventory, path: Path) -> None:
    try:
        IniReader(inventory, str(path)).read(read_text(path, inventory.vault))
    except ParseError as error:
        message = f"Failed to parse inventory: {error.message}"
        raise ParseError(message, origin=error.origin, hint=error.hint) from None


def _read_toml(inventory: Inventory, path: Path) -> None:
    TomlReader(inventory, str(path)).read(read_text(path, inventory.vault))
