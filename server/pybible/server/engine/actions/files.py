"""files: where on the control node the files that a task names are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pybible.server.engine.actions.call import ActionCall, ActionFailed
from pybible.server.engine.model.paths import expanded


class NotFound(ActionFailed):
    """No file of that name is where the task may look."""


def find(call: ActionCall, name: str, *, kind: str) -> Path:
    """Return the file that `name` means, looked up in `kind` (files, templates, vars) of each folder and beside it.

    Raises NotFound with the folders that were searched.
    """
    path = expanded(name)
    candidates = [path] if path.is_absolute() else list(_candidates(call, name, kind))
    for candidate in candidates:
        if candidate.exists():
            return candidate
    searched = "" if path.is_absolute() else "\nSearched in:\n\t" + "\n\t".join(map(str, candidates))
    raise NotFound(
        f"Could not find or access '{name}'{searched} on the Ansible Controller.\n"
        "If you are using a module and expect the file to exist on the remote, see the remote_src option"
    )


def _candidates(call: ActionCall, name: str, kind: str) -> Iterator[Path]:
    for folder in (*call.search_path, call.play.directory):
        yield folder / kind / name
        yield folder / name
