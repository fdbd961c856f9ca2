"""scope: where in a play a reader is, and the files and static names that it needs there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from pybible.server.engine.bridge.finder import Finder
from pybible.server.engine.model.bridged import BridgedModule
from pybible.server.engine.model.keywords import INHERITED, NO_KEYWORDS, Keywords, VarsLayer
from pybible.server.engine.model.play import Node, Role
from pybible.server.engine.model.text import is_template, origin_of
from pybible.server.engine.parsing import keywords
from pybible.server.engine.parsing.actions import NO_MODULES, ModuleFinder
from pybible.server.engine.parsing.known import MODULES, canonical
from pybible.server.engine.parsing.module_defaults import ModuleDefaults
from pybible.server.engine.parsing.yaml_source import Decrypter, Warn, load_file
from pybible.wire.errors import Origin, ParseError, SourceError

# Files that import each other deeper than this import themselves.
MAX_IMPORTS: Final = 64


class IncludeError(SourceError):
    """A file or a role that a playbook names is not there. For a dynamic include this is the task's failure."""


class StaticRender(Protocol):
    """Renders a name that must be known before the run: with play variables and extra variables, no host's."""

    def __call__(self, value: object, variables: Mapping[str, object]) -> object:
        """Return `value` rendered with `variables`, None for one that is to be left out. Raises TemplateError."""


@dataclass(slots=True, kw_only=True)
class PlayScope:
    """What a play's readers share. `variables` are those known before the run, without the extra ones.

    `collection` is the one that the playbook lies in: short names mean its roles and modules first.
    `imported_roles` and `imported_handlers` collect what import_role brings, in order.
    """

    directory: Path
    collection: str = ""
    variables: Mapping[str, object] = field(default_factory=dict)
    imported_roles: list[Role] = field(default_factory=list)
    imported_handlers: list[Node] = field(default_factory=list)
    # (role's id, file): what a role begins with, X of its tasks_from and handlers_from.
    entry_files: set[tuple[str, str]] = field(default_factory=set)
    # (role's id, file) -> search path: the same for all the tasks of a file.
    search_paths: dict[tuple[str, str], tuple[Path, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One place in a play: what applies there and whose file it is."""

    play: PlayScope
    keywords: Keywords = NO_KEYWORDS
    role: Role | None = None
    handlers: bool = False
    imports: int = 0

    def within(self, inner: Keywords) -> Scope:
        """Return the scope one level further in."""
        return replace(self, keywords=inner)

    def importing(self, inner: Keywords, origin: Origin | None) -> Scope:
        """Return the scope of an imported file. Raises ParseError when imports go round in a circle."""
        if self.imports >= MAX_IMPORTS:
            raise ParseError(f"imports are nested more than {MAX_IMPORTS} deep: a file imports itself", origin=origin)
        return replace(self, keywords=inner, imports=self.imports + 1)

    @property
    def collections(self) -> tuple[str, ...]:
        """The collections in which short names are looked for, the playbook's own first where no role is around."""
        named = tuple(str(name) for name in keywords.as_list(self.keywords.get("collections")))
        own = self.play.collection if self.role is None else ""
        return (own, *named) if own and own not in named else named

    def in_role(self, role: Role) -> Scope:
        """Return the scope of a role's own files.

        A role does not inherit `collections`: it has its own collection, or that of the playbook, and its own list.
        """
        own = role.collection or self.play.collection
        wanted = [*([own] if own else []), *(name for name in role.metadata.collections if name != own)]
        inside = self.keywords
        if wanted or inside.get("collections"):
            inside = inside.child(values={"collections": wanted})
        return replace(self, role=role, handlers=False, keywords=inside)

    def of_task(self, item: Mapping[str, object]) -> Scope:
        """Return the scope in which a task's module is looked for: its own `collections` count."""
        own = item.get("collections")
        return self if own is None else self.within(self.keywords.child(values={"collections": own}))

    def search_path(self, file: str) -> tuple[Path, ...]:
        """Return where a task of `file` looks for relative files, innermost first."""
        key = ("" if self.role is None else self.role.id, file)
        known = self.play.search_paths.get(key)
        if known is None:
            folders: list[Path] = []
            if self.role is not None:
                folders += [self.role.path, *(parent.path for parent in reversed(self.role.parents))]
            folders += [Path(file).parent, self.play.directory]
            known = self.play.search_paths[key] = tuple(dict.fromkeys(folders))
        return known


class Sources:
    """The operator's files, and names in them that must be known before the run."""

    def __init__(
        self,
        *,
        vault: Decrypter | None,
        warn: Warn,
        render: StaticRender,
        extra_vars: Mapping[str, object],
        finder: Finder | None = None,
        ignore_unknown: bool = False,
    ) -> None:
        self.vault = vault
        # An unknown keyword of a task is a warning.
        self.ignore_unknown = ignore_unknown
        self.finder = finder
        self.module_defaults = ModuleDefaults(finder)
        self.warn = warn
        self._render = render
        self._extra_vars = extra_vars

    def modules(self, scope: Scope) -> ModuleFinder:
        """Return what finds the modules that are not native, seen from `scope`."""
        return NO_MODULES if self.finder is None else ScopedFinder(self.finder, scope)

    def collection_of(self, directory: Path) -> str:
        """Return the collection that a playbook's folder lies in, empty for none."""
        return "" if self.finder is None else self.finder.collection_of(directory)

    def load(self, path: Path, origin: Origin | None = None) -> object:
        """Read a YAML file that `origin` names. Raises IncludeError, ParseError, VaultError."""
        if not path.exists():
            raise missing(path, origin)
        return load_file(path, self.vault, warn=self.warn)

    def variables(self, scope: Scope) -> dict[str, object]:
        """Return the variables that are known at a place before the run."""
        known: dict[str, object] = {"playbook_dir": str(scope.play.directory)}
        roles = () if scope.role is None else (*scope.role.parents, scope.role)
        for role in roles:
            known.update(role.defaults)
        known.update(scope.play.variables)
        for role in roles:
            known.update(role.vars)
            known.update(role.entry_vars)
        for layer in scope.keywords.vars:
            known.update(layer.values)
        for role in roles:
            known.update(role.params)
        if scope.role is not None:
            known.update(role_name=scope.role.name, role_path=str(scope.role.path))
        known.update(self._extra_vars)
        return known

    def render(self, value: object, scope: Scope) -> object:
        """Return a static value rendered, when it is a template at all. Raises TemplateError."""
        return self._render(value, self.variables(scope)) if is_template(value) else value

    def render_text(self, value: object, scope: Scope) -> str:
        """Return a static name rendered; text with its place is Trusted no longer."""
        return str(self.render(value, scope))


class ScopedFinder:
    """Finds modules as a task at one place sees them (ModuleFinder)."""

    def __init__(self, finder: Finder, scope: Scope) -> None:
        self._finder = finder
        self._scope = scope

    def find(self, name: str) -> BridgedModule | None:
        """Return a module. BridgeError when it is there and can't be run."""
        return self._finder.find(
            name, directory=self._scope.play.directory, role=self._role(), collections=self._scope.collections
        )

    def find_before(self, name: str) -> BridgedModule | None:
        """Return a module of the collections that are named, or of a `library`: beside the playbook or a role, or of
        the operator's settings.
        """
        directory, role = self._scope.play.directory, self._role()
        for collection in self._scope.collections if "." not in name else ():
            if collection == "ansible.legacy":
                break
            full = f"{collection}.{name}"
            if canonical(full) in MODULES:
                return None
            found = self._finder.find(full, directory=directory, role=role)
            if found is not None:
                return found
        return self._finder.find_local(name.rpartition(".")[2], directory=directory, role=role)

    def _role(self) -> Path | None:
        return None if self._scope.role is None else self._scope.role.path


def missing(path: Path, origin: Origin | None) -> IncludeError:
    """Return the error for a file that is not there."""
    return IncludeError(
        "Unable to retrieve file contents.\n"
        f"Could not find or access '{path}' on the Ansible Controller.\n"
        "If you are using a module and expect the file to exist on the remote, see the remote_src option:"
        f" [Errno 2] No such file or directory: '{path}'",
        origin=origin,
    )


def read_tags(value: object, origin: Origin | None, sources: Sources, scope: Scope) -> tuple[str, ...]:
    """Return the tags of a keyword, rendered, lists and comma-separated texts made flat. Raises SourceError."""
    if value is None:
        return ()
    if not isinstance(value, list | str):
        raise SourceError("tags must be specified as a list", origin=origin_of(value) or origin)
    found: list[str] = []
    for item in [value] if isinstance(value, str) else value:
        rendered = sources.render(item, scope)
        for tag in rendered if isinstance(rendered, list) else [] if rendered is None else [rendered]:
            if not isinstance(tag, str | int):
                raise SourceError("tags must be specified as a list", origin=origin_of(item) or origin)
            found += [piece.strip() for piece in str(tag).split(",")]
    return tuple(dict.fromkeys(tag for tag in found if tag))


def own_keywords(
    mapping: Mapping[str, object],
    scope: Scope,
    sources: Sources,
    *,
    what: str,
    level: str,
    values: Mapping[str, object] | None = None,
) -> Keywords:
    """Return what applies inside `mapping`: what surrounds it and what it says itself. Raises ParseError.

    `level` names its variables' place in the order of precedence; empty when they are not the tasks'.
    """
    own = {key: value for key, value in mapping.items() if key in INHERITED and value is not None}
    own.update(values or {})
    own_vars = keywords.variables(mapping, what)
    return scope.keywords.child(
        when=keywords.conditions(mapping.get("when")),
        tags=read_tags(mapping.get("tags"), keywords.key_origin(mapping, "tags"), sources, scope),
        vars=VarsLayer(level=level, values=own_vars) if level else None,
        environment=mapping.get("environment"),
        module_defaults=sources.module_defaults.read(mapping, scope.play.directory),
        notify=tuple(keywords.as_list(mapping.get("notify"))),
        values=own,
    )
