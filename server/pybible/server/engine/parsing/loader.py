"""loader: playbooks, task files and roles to the model: imports expanded, keywords inherited, everything located."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pybible.server.engine.model.keywords import Keywords, VarsLayer
from pybible.server.engine.model.play import Block, Node, Play, Playbook, Role, Task
from pybible.server.engine.parsing.plays import PlayReader
from pybible.server.engine.parsing.roles import RoleReader
from pybible.server.engine.parsing.scope import MissingFile, PlayScope, Scope, Sources, StaticRender
from pybible.server.engine.parsing.tasks import TaskReader
from pybible.server.engine.parsing.yaml_source import Decrypter, Warn

__all__ = ["Included", "Loader", "MissingFile", "StaticRender"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Included:
    """What a dynamic include brings: blocks to run, and what the play learns from now on.

    `handlers` come after the play's own; `roles` are the included one and those that import_role brought in with it,
    each with its dependencies, and `role` is that of include_role. Dependencies' blocks and handlers come first.
    """

    blocks: tuple[Block, ...]
    handlers: tuple[Node, ...] = ()
    roles: tuple[Role, ...] = ()
    role: Role | None = None


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
        sources = Sources(vault=vault, warn=warn, render=static_render, extra_vars=extra_vars or {})
        self._tasks = TaskReader(sources)
        self._roles = RoleReader(sources, self._tasks, roles_path=roles_path)
        self._plays = PlayReader(sources, self._tasks, self._roles)

    def load_playbook(self, path: Path) -> Playbook:
        """Read a playbook file. Raises SourceError: ParseError, MissingFile, TemplateError, VaultError."""
        absolute = path.expanduser().absolute()
        return Playbook(path=absolute, plays=tuple(self._plays.read_file(absolute)))

    def include_tasks(
        self, file: str, *, include: Task, play: Play, variables: Mapping[str, object] | None = None
    ) -> Included:
        """Read the file of an include_tasks task for execution. `file` is its rendered name.

        The blocks inherit what surrounds the include, its vars and its `apply`; `variables` are a loop's, on top of
        its vars. In handlers the blocks hold handlers. Raises MissingFile, which is the task's failure; any other
        SourceError ends the run.
        """
        scope = self._scope(include, play)
        inside = self._tasks.apply(include, _included_keywords(include, variables), scope)
        inner = scope.within(inside)
        path = self._tasks.find_file(file, scope, include.origin)
        items = self._tasks.read_file(path, inner, include.origin)
        blocks: tuple[Block, ...]
        if include.is_handler:
            handlers = self._tasks.read_handlers(items, inner)
            blocks = (self._handler_block(include, inside, handlers),) if handlers else ()
        else:
            blocks = self._tasks.read_blocks(items, inner)
        return Included(
            blocks=blocks, handlers=tuple(scope.play.imported_handlers), roles=tuple(scope.play.imported_roles)
        )

    def find_tasks(self, file: str, *, include: Task, play: Play) -> Path:
        """Return the path of the file that an include_tasks task names. Raises MissingFile."""
        return self._tasks.find_file(file, self._scope(include, play), include.origin)

    def include_role(
        self,
        args: Mapping[str, object],
        *,
        include: Task,
        play: Play,
        variables: Mapping[str, object] | None = None,
    ) -> Included:
        """Read the role of an include_role task. `args` are its rendered arguments. Errors as include_tasks'."""
        scope = self._scope(include, play)
        inside = self._tasks.apply(include, _included_keywords(include, variables), scope)
        own = {**_own_vars(include), **(variables or {})}
        compiled = self._roles.read_include(args, include, scope.within(inside), public=False, entry_vars=own)
        return Included(
            blocks=compiled.blocks,
            handlers=(*compiled.handlers, *scope.play.imported_handlers),
            roles=(compiled.role, *scope.play.imported_roles),
            role=compiled.role,
        )

    def _scope(self, include: Task, play: Play) -> Scope:
        shared = self._plays.scopes.get(play.id) or PlayScope(directory=play.directory, variables=play.vars)
        # Each include collects the roles that it imports for itself: the play as loaded stays what it is.
        own = replace(shared, imported_roles=[], imported_handlers=[])
        return Scope(play=own, keywords=include.enclosing, role=include.role, handlers=include.is_handler)

    def _handler_block(self, include: Task, inside: Keywords, handlers: tuple[Node, ...]) -> Block:
        return Block(
            id=f"{include.id}b",
            origin=include.origin,
            keywords=inside,
            role=include.role,
            block=handlers,
            implicit=True,
        )


def _own_vars(include: Task) -> Mapping[str, object]:
    own = include.keywords.vars[len(include.enclosing.vars) :]
    return own[0].values if own else {}


def _included_keywords(include: Task, variables: Mapping[str, object] | None) -> Keywords:
    """Return what applies to what an include brings: what surrounds it, and its variables."""
    values = {**_own_vars(include), **(variables or {})}
    return include.enclosing.child(vars=VarsLayer(level="include", values=values))
