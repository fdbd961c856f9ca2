"""files: tests of what is on the control node's disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pybible.server.engine.templating.plugins import Plugin, impure
from pybible.server.engine.vault import is_vaulted


def _same_file(first: object, second: object) -> bool:
    return Path(str(first)).samefile(str(second))


def _vaulted_file(path: object) -> bool:
    try:
        with Path(str(path)).open("rb") as file:
            return is_vaulted(file.read(64))
    except OSError as error:
        raise ValueError(f"Cannot test if the file {str(path)!r} is a vault: {error}") from error


def _on_path(check: Plugin) -> Plugin:
    def run(path: object) -> bool:
        return bool(check(str(path)))

    return impure(run)


_DIRECTORY = _on_path(os.path.isdir)
_FILE = _on_path(os.path.isfile)
_LINK = _on_path(os.path.islink)
_EXISTS = _on_path(os.path.exists)
_LINK_EXISTS = _on_path(os.path.lexists)
_MOUNT = _on_path(os.path.ismount)

TESTS: Mapping[str, Plugin] = {
    "directory": _DIRECTORY,
    "is_dir": _DIRECTORY,
    "file": _FILE,
    "is_file": _FILE,
    "link": _LINK,
    "is_link": _LINK,
    "exists": _EXISTS,
    "link_exists": _LINK_EXISTS,
    "mount": _MOUNT,
    "is_mount": _MOUNT,
    "abs": lambda path: os.path.isabs(str(path)),  # noqa: PTH117
    "is_abs": lambda path: os.path.isabs(str(path)),  # noqa: PTH117
    "same_file": impure(_same_file),
    "is_same_file": impure(_same_file),
    "vaulted_file": impure(_vaulted_file),
}
