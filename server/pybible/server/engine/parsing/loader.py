"""loader: playbooks, task files and roles to the model: imports expanded, keywords inherited, everything located."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pybible.server.engine.model.play import Block, Node, Play, Playbook, Role, Task
from pybible.server.engine.parsing.yaml_source import Decrypter, Warn


class StaticRender(Protocol):
    """Renders a name that must be known before the run: with play variables and extra variables, no host's."""

    def __call__(self, value: object, variables: Mapping[str, object]) -> object:
        """Return `value` rendered with `variables`. Raises TemplateError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncludedRole:
    """What include_role brings: the role, its blocks (dependencies first) and its handlers (dependencies first)."""

    role: Role
    blocks: tuple[Block, ...]
    handlers: tuple[Node, ...]


class Loader:
    """Reads playbooks before the run, and the files and roles that tasks include during it."""

    def __init__(
        self,
        *,
        roles_path: Sequence[Path] = (),
        vault: Decrypter | None = None,
        warn: Warn = lambda text: None,
        static_render: StaticRender,
        extra_vars: Mapping[str, object] | None = None,
    ) -> None:
        raise NotImplementedError

    def load_playbook(self, path: Path) -> Playbook:
        """Read a playbook file. Raises ParseError, TemplateError, VaultError."""
        raise NotImplementedError

    def include_tasks(self, file: str, *, include: Task, play: Play) -> tuple[Block, ...]:
        """Read the file of an include_tasks task for execution. `file` is its rendered name.

        The blocks inherit what surrounds the include, its vars and its `apply`. A file that is not there is an
        IncludeError, which is the task's failure; any other ParseError ends the run.
        """
        raise NotImplementedError

    def include_role(self, args: Mapping[str, object], *, include: Task, play: Play) -> IncludedRole:
        """Read the role of an include_role task. `args` are its rendered arguments. Errors as include_tasks'."""
        raise NotImplementedError
