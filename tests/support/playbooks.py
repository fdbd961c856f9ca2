"""playbooks: the language's front as tests use it: files written from a dict, loaded, and shown in one line a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import jinja2

from pybible.server.engine.model.play import Block, Node, Play, Playbook, Task
from pybible.server.engine.parsing.loader import Loader
from pybible.wire.errors import TemplateError

_ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - no HTML here


def render(value: object, variables: Mapping[str, object]) -> object:
    """Render a static name as simply as can be."""
    try:
        return _ENVIRONMENT.from_string(str(value)).render(**variables)
    except jinja2.UndefinedError as error:
        raise TemplateError(str(error)) from error


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files, folders made as needed."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


class Project:
    """A folder with a playbook `site.yml`, and its loader. `warnings` collects what was warned of."""

    def __init__(
        self, folder: Path, files: Mapping[str, str] | None = None, *, extra_vars: Mapping[str, object] | None = None
    ) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        write(folder, files or {})
        self.loader = Loader(
            roles_path=[folder / "elsewhere"], warn=self.warnings.append, static_render=render, extra_vars=extra_vars
        )

    def load(self, name: str = "site.yml") -> Playbook:
        """Load a playbook file."""
        return self.loader.load_playbook(self.folder / name)

    def play(self, name: str = "site.yml") -> Play:
        """Load a playbook file and return its only play."""
        (play,) = self.load(name).plays
        return play


def tasks_of(nodes: Iterable[Node], *, implicit: bool = False) -> Iterator[Task]:
    """Yield all tasks, in the order of the file, the engine's own only with `implicit`."""
    for node in nodes:
        if isinstance(node, Block):
            yield from tasks_of((*node.block, *node.rescue, *node.always), implicit=implicit)
        elif implicit or not node.implicit:
            yield node


def names_of(nodes: Iterable[Node], *, implicit: bool = False) -> list[str]:
    """Return the names of the tasks, or their modules (with a meta's word) where they have none."""
    shown = []
    for task in tasks_of(nodes, implicit=implicit):
        word = f" {task.args.get('_raw_params')}" if task.action == "meta" else ""
        shown.append(task.name or task.action + word)
    return shown
