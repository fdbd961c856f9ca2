"""search: where a relative file of a task, a lookup or a template is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pybible.server.engine.model.paths import expanded

if TYPE_CHECKING:
    from pybible.server.engine.templating.templar import Templar


def candidates(templar: Templar, kind: str, name: str) -> Iterator[Path]:
    """Yield the places where `name` may be, best first. `kind` is files, templates, vars or tasks."""
    path = expanded(name)
    if path.is_absolute():
        yield path
        return
    for folder in (*templar.search_path, templar.engine.playbook_directory):
        yield folder / kind / path
        if folder.name == "tasks":
            yield folder.parent / kind / path
        yield folder / path


def find_file(templar: Templar, kind: str, name: str, *, folders: bool = False) -> Path | None:
    """Return the first file (or folder, if wanted) of that name, None when there is none."""
    for path in candidates(templar, kind, name):
        if path.is_file() or (folders and path.is_dir()):
            return path
    return None


def searched(templar: Templar, kind: str, name: str) -> list[str]:
    """Return where find_file looks, for messages."""
    return list(dict.fromkeys(str(path) for path in candidates(templar, kind, name)))
