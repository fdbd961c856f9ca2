"""vars_files: host_vars and group_vars beside an inventory or a playbook: a file, or a folder of files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pybible.server.engine.parsing.vars_files import find_vars_files
from pybible.server.engine.parsing.yaml_source import Decrypter, Warn, load_file
from pybible.wire.errors import Origin, ParseError


class VarsFiles:
    """The host_vars and group_vars of a run, each file read once."""

    def __init__(self, *, vault: Decrypter | None, warn: Warn) -> None:
        self._vault = vault
        self._warn = warn
        # (folder, name) -> the files' mappings in the order of merging.
        self._known: dict[tuple[Path, str], tuple[Mapping[str, object], ...]] = {}
        self._folders: dict[Path, bool] = {}

    def read(self, folder: Path, name: str) -> tuple[Mapping[str, object], ...]:
        """Return the mappings for `name` in `folder`, later ones win. Raises ParseError, VaultError."""
        key = (folder, name)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._load(folder, name)
        return known

    def forget(self) -> None:
        """Read everything again when it is next asked for."""
        self._known.clear()
        self._folders.clear()

    def _load(self, folder: Path, name: str) -> tuple[Mapping[str, object], ...]:
        # A name that is a path (a chroot's) has no such files.
        if not self._is_folder(folder) or "/" in name:
            return ()
        found: list[Mapping[str, object]] = []
        for path in find_vars_files(folder, name):
            values = load_file(path, self._vault, warn=self._warn)
            if not values:
                continue
            if not isinstance(values, dict):
                raise ParseError(f"the file {path} must hold a mapping of variables", origin=Origin(str(path), 1, 1))
            found.append(values)
        return tuple(found)

    def _is_folder(self, folder: Path) -> bool:
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = folder.is_dir()
            if not known and folder.exists():
                self._warn(f"Found {folder.name} that is not a directory, skipping: {folder}")
        return known
