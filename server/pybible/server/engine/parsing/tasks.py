"""tasks: lists of tasks and blocks to the model, import_tasks and import_role expanded in place."""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from pybible.server.engine.model.bridged import BridgedModule
from pybible.server.engine.model.keywords import Keywords
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.model.play import Block, LoopControl, Node, Task, new_id
from pybible.server.engine.model.text import Trusted, origin_of
from pybible.server.engine.parsing import keywords, known
from pybible.server.engine.parsing.actions import Statement, read_statement, resolve_rendered
from pybible.server.engine.parsing.scope import IncludeError, Scope, Sources, missing, own_keywords
from pybible.wire.errors import Origin, ParseError, SourceError, TemplateError

_STATIC_HINT: Final = (
    "When using static imports, ensure that any variables used in their names are defined in vars/vars_files\n"
    "or extra-vars passed in from the command line. Static imports cannot use variables from facts or inventory\n"
    "sources like group or host vars."
)
_ROLE_ARGS: Final = frozenset(
    {
        "name", "role", "tasks_from", "vars_from", "defaults_from", "handlers_from", "apply", "public",
        "allow_duplicates", "rolespec_validate",
    }
)  # fmt: skip
_FROM_ARGS: Final = ("tasks_from", "vars_from", "defaults_from", "handlers_from")


class RoleImporter(Protocol):
    """What expands an import_role task: roles.RoleReader."""

    def import_role(self, task: Task, scope: Scope) -> tuple[Block, ...]:
        """Return the blocks of the role that `task` names; `scope` is what applies inside the task."""


class TaskReader:
    """Reads lists of tasks. `roles` is set by the reader of roles, which itself reads tasks."""

    roles: RoleImporter

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def read_blocks(self, items: object, scope: Scope, *, what: str = "tasks") -> tuple[Block, ...]:
        """Return a play's or a file's list: explicit blocks, and implicit ones around the tasks between them."""
        blocks: list[Block] = []
        bare: list[Mapping[str, object]] = []
        for item in self._mappings(items, what):
            if not any(part in item for part in ("block", "rescue", "always")):
                bare.append(item)
                continue
            blocks += self._implicit(bare, scope)
            bare = []
            blocks.append(self._read_block(item, scope))
        return (*blocks, *self._implicit(bare, scope))

    def read_nodes(self, items: object, scope: Scope, *, what: str) -> tuple[Node, ...]:
        """Return a list inside a block, or of handlers, in which no implicit blocks are made."""
        nodes: list[Node] = []
        for item in self._mappings(items, what):
            if "block" in item:
                if scope.handlers:
                    raise ParseError("Using a block as a handler is not supported.", origin=origin_of(item))
                nodes.append(self._read_block(item, scope))
            else:
                nodes += self._read_task(item, scope)
        return tuple(nodes)

    def read_handlers(self, items: object, scope: Scope) -> tuple[Node, ...]:
        """Return a list of handlers, those of blocks among them in their places. `scope` says that they are."""
        handlers: list[Node] = []
        for item in self._mappings(items, "handlers"):
            if any(part in item for part in ("block", "rescue", "always")):
                handlers += self._read_block(item, scope).block
            else:
                handlers += self._read_task(item, scope)
        return tuple(handlers)

    def read_file(self, path: Path, scope: Scope, origin: Origin | None, *, dynamic: bool = False) -> Sequence[object]:
        """Return the list of tasks in an included or imported file, unread. Raises IncludeError, ParseError."""
        data = self._sources.load(path, origin)
        if not data:
            if not dynamic:
                self._sources.warn(f"file {path} is empty and had no tasks to include")
            return ()
        if not isinstance(data, list):
            # A dynamic include's own failure, as a file that is not there.
            if dynamic:
                raise IncludeError("included task files must contain a list of tasks")
            raise ParseError("included task files must contain a list of tasks", origin=origin_of(data))
        return data

    def find_file(self, name: str, scope: Scope, origin: Origin, *, dynamic: bool = False) -> Path:
        """Return the path of an included or imported file. Raises IncludeError.

        An import looks beside its own file first, an include in the role first, and neither of them beside the file
        that a role begins with: so does ansible-core.
        """
        wanted = expanded(name)
        if wanted.is_absolute():
            return wanted
        folders = [Path(origin.file).parent]
        if scope.role is not None:
            kind = "handlers" if scope.handlers else "tasks"
            inside = [scope.role.path / kind, scope.role.path / "tasks", scope.role.path]
            if (scope.role.id, origin.file) in scope.play.entry_files:
                folders = []
            folders = [*inside, *folders] if dynamic else [*folders, *inside]
            folders.append(scope.play.directory / kind)
        folders.append(scope.play.directory)
        for folder in folders:
            if (folder / wanted).exists():
                return Path(os.path.normpath(folder / wanted))
        raise missing(Path(os.path.normpath(scope.play.directory / wanted)), origin)

    # -- blocks ---------------------------------------------------------------------------------------------------

    def _mappings(self, items: object, what: str) -> Sequence[Mapping[str, object]]:
        if items is None and what not in ("a block", "rescue", "always"):
            return ()
        problem = f"A malformed block was encountered while loading {what}"
        if not isinstance(items, list | tuple):
            raise ParseError(f"{problem}: it should be a list but was a {_kind(items)}", origin=origin_of(items))
        # As ansible-core: an entry that is empty is none.
        items = [item for item in items if item is not None]
        for item in items:
            if not isinstance(item, dict):
                raise ParseError(
                    f"{problem}: a task should be a dict but was a {_kind(item)}",
                    origin=origin_of(item) or origin_of(items),
                )
        return items

    def _implicit(self, bare: Sequence[Mapping[str, object]], scope: Scope) -> list[Block]:
        if not bare:
            return []
        nodes = self.read_nodes(bare, scope, what="tasks")
        origin = origin_of(bare[0]) or Origin("")
        block = Block(
            id=new_id("b"), origin=origin, keywords=scope.keywords, role=scope.role, block=nodes, implicit=True
        )
        return [block]

    def _read_block(self, item: Mapping[str, object], scope: Scope) -> Block:
        origin = origin_of(item) or Origin("")
        keywords.check(item, keywords.BLOCK, "Block")
        inside = own_keywords(item, scope, self._sources, what="Block", level="block")
        inner = scope.within(inside)
        parts: dict[str, tuple[Node, ...]] = {}
        for part, what in (("block", "a block"), ("rescue", "rescue"), ("always", "always")):
            if part in item:
                if not isinstance(item[part], list):
                    raise ParseError(
                        f"A malformed block was encountered while loading {what}:"
                        f" it should be a list but was a {_kind(item[part])}",
                        origin=origin_of(item[part]) or keywords.key_origin(item, part),
                    )
                parts[part] = self.read_nodes(item[part], inner, what=what)
        for part in ("rescue", "always"):
            if parts.get(part) and not parts.get("block"):
                raise ParseError(f"'{part}' keyword cannot be used without 'block'", origin=origin)
        return Block(
            id=new_id("b"),
            origin=origin,
            name=keywords.text(item.get("name")),
            keywords=inside,
            role=scope.role,
            block=parts.get("block", ()),
            rescue=parts.get("rescue", ()),
            always=parts.get("always", ()),
        )

    # -- tasks ----------------------------------------------------------------------------------------------------

    def _read_task(self, item: Mapping[str, object], scope: Scope) -> Sequence[Node]:
        statement = read_statement(item, self._sources.modules(scope.of_task(item)))
        task = self._build(item, statement, scope)
        if task.action == "import_tasks":
            return self._import_tasks(task, scope)
        if task.action in ("include_role", "import_role"):
            if scope.handlers:
                raise ParseError(f"Using '{task.action_written}' as a handler is not supported.", origin=task.origin)
            if task.action == "import_role":
                return self._import_role(task, scope)
        return [task]

    def build(self, item: Mapping[str, object], scope: Scope) -> Task:
        """Return one task that is no import. Raises ParseError."""
        return self._build(item, read_statement(item, self._sources.modules(scope.of_task(item))), scope)

    def _build(self, item: Mapping[str, object], statement: Statement, scope: Scope) -> Task:
        action = statement.action
        for notice in statement.notices:
            self._sources.warn(notice)
        what = self._check(item, statement, scope)
        origin = origin_of(item) or Origin("")
        loop, loop_with = _read_loop(item, origin)
        is_include = action in known.INCLUDES
        values = {"delegate_to": "localhost"} if statement.local else None
        level = "include" if is_include else "block" if action in known.IMPORTS else "task"
        inside = own_keywords(item, scope, self._sources, what=what, level=level, values=values)
        args = _include_args(statement, origin) if is_include or action in known.IMPORTS else statement.args
        if action == "meta":
            _check_meta(args, scope, origin)
        return Task(
            id=new_id("t"),
            origin=origin,
            name=keywords.text(item.get("name")),
            action=action,
            action_written=statement.written,
            args=args,
            args_template=statement.template,
            bridged=statement.bridged,
            default_groups=self._default_groups(action, statement.bridged, inside, scope),
            keywords=inside,
            enclosing=scope.keywords,
            role=scope.role,
            loop=loop,
            loop_with=loop_with,
            has_loop=loop is not None,
            loop_control=_read_loop_control(item),
            register=_read_register(item),
            until=keywords.conditions(item.get("until")),
            has_until=item.get("until") is not None,
            retries=item.get("retries"),
            delay=item.get("delay", 5),
            async_=item.get("async") or 0,
            poll=item.get("poll"),
            changed_when=keywords.conditions(item.get("changed_when")),
            failed_when=keywords.conditions(item.get("failed_when")),
            search_path=scope.search_path(origin.file),
            is_handler=scope.handlers,
            listen=_read_listen(item, scope) if scope.handlers else (),
        )

    def name_module(self, task: Task, name: str, scope: Scope) -> Task:
        """Return a task whose module a template names, with that module. Raises SourceError."""
        origin = origin_of(task.action_written) or task.origin
        action, bridged = resolve_rendered(Trusted(name, origin), self._sources.modules(scope))
        groups = self._default_groups(action, bridged, task.keywords, scope)
        return replace(task, action=action, bridged=bridged, default_groups=groups)

    def _default_groups(
        self, action: str, bridged: BridgedModule | None, inside: Keywords, scope: Scope
    ) -> tuple[str, ...]:
        name = action if bridged is None else known.canonical(bridged.name)
        return self._sources.module_defaults.groups_of(name, inside.module_defaults, scope.play.directory)

    def _check(self, item: Mapping[str, object], statement: Statement, scope: Scope) -> str:
        """Check a task's keywords and return what errors call it."""
        what = "Handler" if scope.handlers else "Task"
        table = keywords.HANDLER if scope.handlers else keywords.TASK
        folders = (scope.play.directory, *(() if scope.role is None else (scope.role.path,)))
        own = {
            key: value for key, value in item.items() if key != statement.written and not keywords.is_loop(key, folders)
        }
        for key in [key for key in own if key not in table]:
            if not self._sources.ignore_unknown:
                raise _suppressible(keywords.unknown_keyword(item, key, table, what))
            del own[key]
            self._sources.warn(f"Ignoring invalid attribute: {key}")
        keywords.check(own, table, what)
        if statement.action in known.INCLUDES:
            role = statement.action == "include_role"
            what = "IncludeRole" if role else "HandlerTaskInclude" if scope.handlers else "TaskInclude"
            for key in own:
                if key not in keywords.INCLUDE and not (scope.handlers and key in ("listen", "notify")):
                    raise keywords.unknown_keyword(item, key, keywords.INCLUDE, what)
        return what

    # -- imports --------------------------------------------------------------------------------------------------

    def _import_tasks(self, task: Task, scope: Scope) -> Sequence[Node]:
        if task.has_loop:
            raise ParseError(
                "You cannot use loops on 'import_tasks' statements. You should use 'include_tasks' instead.",
                origin=task.origin,
            )
        inner = scope.importing(task.keywords, task.origin)
        written = task.args["_raw_params"]
        try:
            name = self._sources.render_text(written, inner)
        except TemplateError as error:
            raise ParseError(
                f"Error when evaluating variable in import path {str(written)!r}: {error.message}",
                origin=task.origin,
                hint=_STATIC_HINT,
            ) from None
        items = self.read_file(self.find_file(name, scope, task.origin), inner, task.origin)
        if scope.handlers:
            return self.read_handlers(items, inner)
        return self.read_blocks(items, inner)

    def _import_role(self, task: Task, scope: Scope) -> Sequence[Node]:
        if task.has_loop:
            raise ParseError(
                "You cannot use loops on 'import_role' statements. You should use 'include_role' instead.",
                origin=task.origin,
            )
        return self.roles.import_role(task, scope.importing(task.keywords, task.origin))

    def apply(self, task: Task, inside: Keywords, scope: Scope) -> Keywords:
        """Return what applies to what an include brings, its `apply` included."""
        attributes = task.args.get("apply")
        if not isinstance(attributes, dict) or not attributes:
            return inside
        keywords.check(attributes, keywords.BLOCK, "Block")
        return own_keywords(attributes, scope.within(inside), self._sources, what="Block", level="block")


def _suppressible(error: ParseError) -> ParseError:
    """Say how the error for an unknown keyword becomes a warning."""
    setting = 'This error can be suppressed as a warning using the "invalid_task_attribute_failed" configuration'
    return ParseError(f"{error.message}\n{setting}", origin=error.origin, hint=error.hint)


def _kind(value: object) -> str:
    return f"<class '{'str' if isinstance(value, str) else type(value).__name__.removeprefix('Source').lower()}'>"


def _read_loop(item: Mapping[str, object], origin: Origin) -> tuple[object, str]:
    """Return the value of loop: or with_X:, and the X."""
    loop, name = item.get("loop"), ""
    for key, value in item.items():
        if not key.startswith("with_"):
            continue
        if loop is not None:
            raise SourceError(f"duplicate loop in task: {key.removeprefix('with_')}", origin=origin)
        if value is None:
            raise SourceError(f"you must specify a value when using {key}", origin=origin)
        loop, name = value, str(key.removeprefix("with_"))
    return loop, name


def _read_loop_control(item: Mapping[str, object]) -> LoopControl:
    value = item.get("loop_control")
    if value is None:
        return LoopControl()
    if not isinstance(value, dict):
        raise ParseError(
            "the `loop_control` value must be specified as a dictionary and cannot be a variable itself"
            " (though it can contain variables)",
            origin=origin_of(value) or keywords.key_origin(item, "loop_control"),
        )
    keywords.check(value, keywords.LOOP_CONTROL, "LoopControl")
    given = {key: entry for key, entry in value.items() if entry is not None}
    return LoopControl(
        loop_var=given.get("loop_var", "item"),
        index_var=given.get("index_var"),
        label=given.get("label"),
        pause=given.get("pause", 0),
        extended=given.get("extended", False),
        extended_allitems=given.get("extended_allitems", True),
        break_when=keywords.conditions(given.get("break_when")),
    )


def _read_register(item: Mapping[str, object]) -> str:
    name = item.get("register")
    if name is None:
        return ""
    try:
        keywords.check_variable_name(name, keywords.key_origin(item, "register"))
    except SourceError as error:
        raise ParseError("Invalid 'register' specified", origin=error.origin) from error
    return str(name)


def _read_listen(item: Mapping[str, object], scope: Scope) -> tuple[str, ...]:
    topics: list[str] = []
    for topic in keywords.as_list(item.get("listen")):
        if not isinstance(topic, str):
            raise ParseError(
                f"Keyword 'listen' items must be of type 'str', not '{type(topic).__name__}'.",
                origin=keywords.key_origin(item, "listen"),
            )
        topics.append(str(topic))
    if scope.role is not None:
        topics += [f"{scope.role.name} : {topic}" for topic in topics]
    return tuple(topics)


def _check_meta(args: Mapping[str, object], scope: Scope, origin: Origin) -> None:
    wanted = str(args.get("_raw_params", ""))
    if wanted == "end_role" and scope.handlers:
        raise ParseError("Cannot execute 'end_role' from a handler", origin=origin)
    if wanted == "end_role" and scope.role is None:
        raise ParseError("Cannot execute 'end_role' from outside of a role", origin=origin)
    if wanted == "flush_handlers" and scope.handlers:
        raise ParseError("flush_handlers cannot be used as a handler", origin=origin)


def _include_args(statement: Statement, origin: Origin) -> dict[str, object]:
    """Return an include's or import's arguments in one spelling: `_raw_params` for a file, `name` for a role."""
    args = dict(statement.args)
    apply = args.get("apply", {})
    is_role = statement.action.endswith("_role")
    valid = _ROLE_ARGS if is_role else {"file", "_raw_params", "apply"}
    if is_role and args.get("name", args.get("role")) is None:
        raise ParseError(f"'name' is a required field for {statement.written}.", origin=origin)
    wrong = [str(name) for name in args if name not in valid]
    if wrong:
        raise ParseError(
            f"Invalid options for {statement.written}: {','.join(wrong)}",
            origin=origin,
            hint=keywords.nearest(wrong[0], valid),
        )
    if apply and statement.action in known.IMPORTS:
        raise ParseError(f"Invalid options for {statement.written}: apply", origin=origin)
    if not isinstance(apply, dict):
        raise ParseError(f"Expected a dict for apply but got {_kind(apply)} instead", origin=origin)
    if is_role:
        args["name"] = args.pop("role", None) if "name" not in args else args["name"]
        args.pop("role", None)
        for name in _FROM_ARGS:
            if name in args and not isinstance(args[name], str):
                raise ParseError(f"Expected a string for {name} but got {_kind(args[name])} instead", origin=origin)
        return args
    file = args.pop("file", None)
    args["_raw_params"] = args.get("_raw_params") or file
    if not args["_raw_params"]:
        raise ParseError(f"No file specified for {statement.written}", origin=origin)
    return args
