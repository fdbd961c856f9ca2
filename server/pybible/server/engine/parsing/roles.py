"""roles: folders of tasks, handlers, variables and dependencies to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pybible.server.engine.model.keywords import Keywords
from pybible.server.engine.model.paths import expanded
from pybible.server.engine.model.play import Block, Node, Role, RoleMetadata, Task, new_id
from pybible.server.engine.model.text import SourceDict, SourceList, Trusted, origin_of
from pybible.server.engine.parsing import keywords
from pybible.server.engine.parsing.scope import IncludeError, Scope, Sources, own_keywords, read_tags
from pybible.server.engine.parsing.tasks import TaskReader
from pybible.server.engine.parsing.vars_files import EXTENSIONS, find_vars_files
from pybible.wire.errors import Origin, ParseError, SourceError

_METADATA: Final = {
    "allow_duplicates": keywords.BOOL,
    "dependencies": keywords.LIST,
    "galaxy_info": keywords.ANY,
    "argument_specs": keywords.ANY,
    "collections": keywords.LIST,
    "standalone": keywords.ANY,
    **{key: kind for key, kind in keywords.ROLE.items() if key not in ("role", "when", "tags")},
}
# Roles that depend on each other deeper than this depend on themselves.
_MAX_DEPENDENCIES: Final = 64
_PARTS: Final = ("tasks", "vars", "defaults", "handlers")


@dataclass(frozen=True, slots=True)
class _Found:
    """A role's name as it is shown, its folder, and the collection that it is of."""

    name: str
    path: Path
    collection: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One use of a role, before its folder is read. `files` maps a part (tasks, vars, ...) to X of its X_from."""

    name: str
    origin: Origin
    path: Path
    files: Mapping[str, str]
    params: Mapping[str, object]
    entry_vars: Mapping[str, object]
    collection: str = ""
    when: tuple[object, ...] = ()
    tags: tuple[str, ...] = ()
    from_include: bool = False
    public: bool = True
    validate: bool = True
    # None: what meta/main.yml says.
    allow_duplicates: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledRole:
    """A role with its blocks and handlers, those of its dependencies first."""

    role: Role
    blocks: tuple[Block, ...]
    handlers: tuple[Node, ...]


class RoleReader:
    """Finds and reads roles."""

    def __init__(
        self, sources: Sources, tasks: TaskReader, *, roles_path: Sequence[Path], private: bool = False
    ) -> None:
        self._sources = sources
        # Whether the rest of a play sees nothing of a role, unless it is imported or included with `public`.
        self._private = private
        self._tasks = tasks
        self._roles_path = tuple(roles_path)
        tasks.roles = self

    def read_entry(self, entry: object, scope: Scope, *, listed: Origin | None) -> CompiledRole:
        """Read one entry of `roles:` or of a role's dependencies. `scope.role` is the role that depends on it.

        `listed`: where the list stands, for an entry that does not know its own place (a number, nothing).
        """
        if isinstance(entry, str):
            if "," in entry:
                raise SourceError(f"Invalid old style role requirement: {entry}", origin=origin_of(entry))
            mapping: Mapping[str, object] = SourceDict({"role": entry}, origin_of(entry))
        elif isinstance(entry, dict):
            mapping = entry
        else:
            raise ParseError("Invalid role definition.", origin=origin_of(entry) or listed)
        origin = origin_of(mapping) or Origin("")
        written = mapping.get("role", mapping.get("name"))
        if not written or not isinstance(written, str):
            raise SourceError("role definitions must contain a role name", origin=origin)
        own = {key: value for key, value in mapping.items() if key in keywords.ROLE and key != "name"}
        keywords.check(own, keywords.ROLE, "RoleInclude")
        found = self._find(self._sources.render_text(written, scope), scope, origin_of(written) or origin)
        inside = own_keywords(SourceDict(own, origin), scope, self._sources, what="RoleInclude", level="")
        request = Request(
            name=found.name,
            origin=origin,
            path=found.path,
            collection=found.collection,
            files={},
            params={key: value for key, value in mapping.items() if key not in keywords.ROLE},
            entry_vars=keywords.variables(mapping, "RoleInclude"),
            when=keywords.conditions(mapping.get("when")),
            tags=read_tags(mapping.get("tags"), origin, self._sources, scope),
            public=not self._private,
        )
        return self._compile(request, scope.within(inside))

    def import_role(self, task: Task, scope: Scope) -> tuple[Block, ...]:
        """Expand an import_role task; the play learns of the role and of its handlers."""
        args = {key: self._sources.render(value, scope) for key, value in task.args.items()}
        compiled = self.read_include(args, task, scope, public=not self._private, entry_vars=own_vars(task))
        scope.play.imported_roles.append(compiled.role)
        scope.play.imported_handlers += compiled.handlers
        return compiled.blocks

    def read_include(
        self,
        args: Mapping[str, object],
        task: Task,
        scope: Scope,
        *,
        public: bool,
        entry_vars: Mapping[str, object],
    ) -> CompiledRole:
        """Read the role of an import_role or include_role. `args` are rendered, `public` the default of public."""
        found = self._find(str(args["name"]), scope, origin_of(task.args["name"]) or task.origin)
        files = {part: str(args[f"{part}_from"]) for part in _PARTS if args.get(f"{part}_from")}
        request = Request(
            name=found.name,
            origin=task.origin,
            path=found.path,
            collection=found.collection,
            files=files,
            params={},
            entry_vars=entry_vars,
            from_include=True,
            public=_boolean(args, "public", task.origin, default=public),
            validate=_boolean(args, "rolespec_validate", task.origin, default=True),
            allow_duplicates=_boolean(args, "allow_duplicates", task.origin, default=True),
        )
        return self._compile(request, scope)

    # -- finding --------------------------------------------------------------------------------------------------

    def _find(self, name: str, scope: Scope, origin: Origin) -> _Found:
        """Return where a role is. Raises IncludeError."""
        if self._sources.finder is not None:
            found = self._sources.finder.find_in_collections(
                "roles", name, directory=scope.play.directory, collections=scope.collections
            )
            if found is not None:
                collection, path = found
                return _Found(f"{collection}.{path.name}", _tidy(path), collection)
        searched = [scope.play.directory / "roles", *self._roles_path]
        if scope.role is not None and not scope.role.collection:
            searched.append(scope.role.path.parent)
        searched.append(scope.play.directory)
        for folder in searched:
            path = folder / expanded(name)
            if path.exists():
                return _Found(name, _tidy(path))
        path = expanded(name)
        if path.exists():
            return _Found(path.name, _tidy(path))
        collections = list(scope.collections)
        if collections and not {"ansible.builtin", "ansible.legacy"}.intersection(collections):
            collections.append(
                "ansible.builtin" if scope.role is not None and scope.role.collection else "ansible.legacy"
            )
        places = ":".join(dict.fromkeys([*collections, *map(str, searched)]))
        raise IncludeError(f"the role '{name}' was not found in {places}", origin=origin)

    # -- reading --------------------------------------------------------------------------------------------------

    def _compile(self, request: Request, scope: Scope) -> CompiledRole:
        """Read a role. `scope` is what applies in it; `scope.role` the role that brings it in."""
        parents = () if scope.role is None else (*scope.role.parents, scope.role)
        if len(parents) > _MAX_DEPENDENCIES:
            raise SourceError(
                "A recursion loop was detected with the roles specified."
                " Make sure child roles do not have dependencies on parent roles",
                origin=request.origin,
            )
        metadata, dependencies = self._read_metadata(request)
        if self._sources.finder is not None:
            self._sources.finder.enter_role(request.path)
        role = self._make(request, metadata, parents)
        inside = scope.in_role(role)
        blocks: list[Block] = []
        handlers: list[Node] = []
        needed: list[Role] = []
        for entry in dependencies:
            compiled = self.read_entry(entry, inside, listed=origin_of(dependencies))
            blocks += compiled.blocks
            handlers += compiled.handlers
            needed.append(compiled.role)
        # A role and its dependencies know each other, so that one of the two has to be completed afterwards.
        object.__setattr__(role, "dependencies", tuple(needed))
        for part in ("tasks", "handlers"):
            scope.play.entry_files.update((role.id, str(path)) for path in self._files(request, part))
        blocks += self._task_blocks(request, role, inside)
        blocks.append(_end_of_role(role, inside))
        data = self._read_part(request, "handlers")
        if data is not None and not isinstance(data, list):
            raise self._bad_shape(request, "handlers", data)
        handlers += self._tasks.read_handlers(data, replace(inside, handlers=True))
        return CompiledRole(role=role, blocks=tuple(blocks), handlers=tuple(handlers))

    def _make(self, request: Request, metadata: RoleMetadata, parents: tuple[Role, ...]) -> Role:
        key = (
            request.name, str(request.path.resolve()), _frozen(request.params), _frozen(request.when),
            _frozen(request.tags), _frozen(request.files), _frozen(request.entry_vars), request.from_include,
        )  # fmt: skip
        return Role(
            id=new_id("r"),
            name=request.name,
            path=request.path,
            origin=request.origin,
            key=key,
            defaults=self._read_vars(request, "defaults"),
            vars=self._read_vars(request, "vars"),
            params=request.params,
            entry_vars=request.entry_vars,
            metadata=metadata,
            parents=parents,
            public=request.public,
            collection=request.collection,
        )

    def _task_blocks(self, request: Request, role: Role, scope: Scope) -> tuple[Block, ...]:
        data = self._read_part(request, "tasks")
        if data is not None and not isinstance(data, list):
            raise self._bad_shape(request, "tasks", data)
        validation: list[object] = []
        entry_point = request.files.get("tasks", "main")
        specification = role.metadata.argument_specs.get(entry_point)
        if request.validate and isinstance(specification, dict):
            validation.append(_validation_task(request, entry_point, specification))
        return self._tasks.read_blocks(SourceList([*validation, *(data or [])], origin_of(data)), scope)

    def _bad_shape(self, request: Request, part: str, data: object) -> ParseError:
        return ParseError(
            f"The {part}/main.yml file for role '{request.name}' must contain a list of tasks.", origin=origin_of(data)
        )

    def _files(self, request: Request, part: str) -> list[Path]:
        folder = request.path / part
        wanted = request.files.get(part)
        extensions = (*EXTENSIONS, "") if wanted is None else ("", *EXTENSIONS)
        merged = part in ("vars", "defaults")
        found = find_vars_files(folder, wanted or "main", extensions=extensions, allow_folder=merged)
        if not found and wanted is not None:
            raise ParseError(f"Could not find specified file in role: {part}/{wanted}", origin=request.origin)
        inside = folder.resolve()
        for path in found:
            if inside not in path.resolve().parents:
                raise ParseError(
                    f"Failed loading '{path}' for role ({request.name})"
                    f" as it is not inside the expected role path: '{folder}'",
                    origin=request.origin,
                )
        return found

    def _read_part(self, request: Request, part: str) -> object:
        for path in self._files(request, part):
            data = self._sources.load(path)
            if data:
                return data
        return None

    def _read_vars(self, request: Request, part: str) -> dict[str, object]:
        merged: dict[str, object] = {}
        for path in self._files(request, part):
            data = self._sources.load(path)
            if data is None:
                continue
            if not isinstance(data, dict):
                raise ParseError(
                    f"The {part}/main.yml file for role '{request.name}' must contain a dictionary of variables",
                    origin=origin_of(data),
                )
            merged.update(data)
        return merged

    def _read_metadata(self, request: Request) -> tuple[RoleMetadata, Sequence[object]]:
        data = self._read_part(request, "meta")
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise ParseError(f"the 'meta/main.yml' for role {request.name} is not a dictionary", origin=origin_of(data))
        keywords.check(data, _METADATA, "RoleMetadata")
        dependencies = data.get("dependencies")
        if dependencies and not isinstance(dependencies, list):
            raise ParseError("Expected role dependencies to be a list.", origin=origin_of(data))
        allowed = request.allow_duplicates
        if allowed is None:
            allowed = _boolean(data, "allow_duplicates", request.origin, default=False)
        metadata = RoleMetadata(
            allow_duplicates=allowed,
            collections=tuple(str(name) for name in keywords.as_list(data.get("collections"))),
            argument_specs=self._argument_specs(request, data),
        )
        return metadata, SourceList(map(_dependency, dependencies or ()), origin_of(dependencies))

    def _argument_specs(self, request: Request, metadata: Mapping[str, object]) -> Mapping[str, object]:
        for path in find_vars_files(request.path / "meta", "argument_specs", extensions=EXTENSIONS):
            data = self._sources.load(path)
            metadata = data if isinstance(data, dict) else {}
        specs = metadata.get("argument_specs")
        return specs if isinstance(specs, dict) else {}


def _tidy(path: Path) -> Path:
    """Return the absolute path without `.` and `..`, links kept."""
    parts: list[str] = []
    for part in path.absolute().parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return Path(*parts)


def own_vars(task: Task) -> dict[str, object]:
    """Return what `vars:` of an import or include says, and a loop's item on top of it."""
    merged: dict[str, object] = {}
    for layer in task.keywords.vars[len(task.enclosing.vars) :]:
        merged.update(layer.values)
    return merged


def _boolean(mapping: Mapping[str, object], key: str, origin: Origin, *, default: bool) -> bool:
    value = mapping.get(key)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("yes", "true", "on", "1", "y", "t"):
        return True
    if word in ("no", "false", "off", "0", "n", "f"):
        return False
    raise ParseError(f"the value {value!r} of '{key}' could not be converted to 'bool'.", origin=origin)


def _dependency(entry: object) -> object:
    """Return a dependency with a name: ansible-galaxy's `src: git+https://host/role.git` names one, too."""
    if not isinstance(entry, dict) or "role" in entry or "name" in entry or not isinstance(entry.get("src"), str):
        return entry
    name = str(entry["src"]).split(",")[0].rstrip("/").rsplit("/", 1)[-1].removesuffix(".git").removesuffix(".tar.gz")
    rest = {key: value for key, value in entry.items() if key not in ("src", "version", "scm")}
    return SourceDict({**rest, "role": name}, origin_of(entry))


def _frozen(value: object) -> object:
    """Return `value` in a form that can be compared and hashed."""
    if isinstance(value, Mapping):
        return frozenset((str(key), _frozen(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, set):
        return frozenset(_frozen(item) for item in value)
    if isinstance(value, str):
        return str(value)
    return value if isinstance(value, int | float | bool | None) else repr(value)


def _validation_task(request: Request, entry_point: str, specification: Mapping[str, object]) -> SourceDict:
    name = f"Validating arguments against arg spec '{entry_point}'"
    if specification.get("short_description"):
        name += f" - {specification['short_description']}"
    origin = origin_of(specification) or request.origin
    args = SourceDict(
        {
            "argument_spec": specification.get("options", {}),
            "provided_arguments": dict(request.params),
            "validate_args_context": {
                "type": "role",
                "name": request.name,
                "argument_spec_name": entry_point,
                "path": str(request.path),
            },
        },
        origin,
    )
    task: dict[str, object] = {
        "action": "ansible.builtin.validate_argument_spec", "args": args, "name": Trusted(name, origin),
        "tags": ["always"],
    }  # fmt: skip
    return SourceDict(task, origin)


def _end_of_role(role: Role, scope: Scope) -> Block:
    """Return the block whose one task marks the role as complete for a host."""
    always = Keywords(tags=tuple(dict.fromkeys((*scope.keywords.tags, "always"))))
    task = Task(
        id=new_id("t"),
        origin=role.origin,
        action="meta",
        action_written="meta",
        args={"_raw_params": "role_complete"},
        keywords=always,
        role=role,
        implicit=True,
    )
    return Block(id=new_id("b"), origin=role.origin, keywords=always, role=role, block=(task,), implicit=True)
