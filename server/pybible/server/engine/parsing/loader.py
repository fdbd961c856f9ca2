"""loader: playbooks, task files and roles to the model: imports expanded, keywords inherited, everything located."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pybible.server.engine.bridge.finder import Finder
from pybible.server.engine.model.keywords import Keywords, VarsLayer
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.model.play import Block, Node, Play, Playbook, Role, Task
from pybible.server.engine.parsing.plays import PlayReader
from pybible.server.engine.parsing.roles import RoleReader, own_vars
from pybible.server.engine.parsing.scope import (
    IncludeError,
    PlayScope,
    Scope,
    Sources,
    StaticRender,
)
from pybible.server.engine.parsing.tasks import TaskReader
from pybible.server.engine.parsing.yaml_source import Decrypter, Warn

__all__ = ["IncludeError", "Included", "Loader", "StaticRender"]

# ansible-core ends with a RecursionError a little before this.
MAX_INCLUDES: Final = 250


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
    # The file or the role's folder.
    path: Path


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
        finder: Finder | None = None,
        private_roles: bool = False,
        ignore_unknown: bool = False,
    ) -> None:
        sources = Sources(
            vault=vault,
            warn=warn,
            render=static_render,
            extra_vars=extra_vars or {},
            finder=finder,
            ignore_unknown=ignore_unknown,
        )
        self._tasks = TaskReader(sources)
        self._roles = RoleReader(sources, self._tasks, roles_path=roles_path, private=private_roles)
        self._plays = PlayReader(sources, self._tasks, self._roles)

    def load_playbook(self, path: Path) -> Playbook:
        """Read a playbook file. Raises SourceError: ParseError, IncludeError, TemplateError, VaultError."""
        absolute = expanded(path).absolute()
        return Playbook(path=absolute, plays=tuple(self._plays.read_file(absolute)))

    def include_tasks(self, file: str, *, include: Task, play: Play) -> Included:
        """Read the file of an include_tasks task for execution. `file` is its rendered name.

        The blocks inherit what surrounds the include, its vars (a loop's item among them) and its `apply`. In
        handlers the one block holds handlers. Raises IncludeError, which is the task's failure; any other SourceError
        ends the run.
        """
        scope = self._scope(include, play)
        inside = self._tasks.apply(include, _included_keywords(include), scope)
        inner = scope.within(inside)
        try:
            path = self._tasks.find_file(file, scope, include.origin, dynamic=True)
            items = self._tasks.read_file(path, inner, include.origin, dynamic=True)
        except IncludeError as error:
            raise _dynamic(error) from error
        blocks: tuple[Block, ...]
        if include.is_handler:
            handlers = self._tasks.read_handlers(items, inner)
            blocks = (self._handler_block(include, inside, handlers),) if handlers else ()
        else:
            blocks = self._tasks.read_blocks(items, inner)
        return Included(
            blocks=blocks,
            handlers=tuple(scope.play.imported_handlers),
            roles=tuple(scope.play.imported_roles),
            path=path,
        )

    def include_role(self, args: Mapping[str, object], *, include: Task, play: Play) -> Included:
        """Read the role of an include_role task. `args` are its rendered arguments. Errors as include_tasks'."""
        scope = self._scope(include, play)
        inside = self._tasks.apply(include, _included_keywords(include), scope)
        compiled = self._roles.read_include(
            args, include, scope.within(inside), public=False, entry_vars=own_vars(include)
        )
        return Included(
            blocks=compiled.blocks,
            handlers=(*compiled.handlers, *scope.play.imported_handlers),
            roles=(compiled.role, *scope.play.imported_roles),
            role=compiled.role,
            path=compiled.role.path,
        )

    def name_module(self, task: Task, name: str, *, play: Play) -> Task:
        """Return a task whose module a template names, with that module. Raises SourceError."""
        return self._tasks.name_module(task, name, self._scope(task, play))

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


def _included_keywords(include: Task) -> Keywords:
    """Return what applies to what an include brings: what surrounds it, and its variables. Raises IncludeError."""
    includes = include.enclosing.includes + 1
    if includes > MAX_INCLUDES:
        raise IncludeError(f"Includes are nested more than {MAX_INCLUDES} levels deep.", origin=include.origin)
    inside = include.enclosing.child(vars=VarsLayer(level="include", values=own_vars(include)))
    return replace(inside, includes=includes)


def _dynamic(error: IncludeError) -> IncludeError:
    """Return the error of a missing file in the words of a task's failure."""
    first, _, place = error.message.partition("\n")
    subject = place.partition(" on the Ansible Controller")[0]
    return IncludeError(f"{subject} on the Ansible Controller: {first}\n{place}" if place else first)
