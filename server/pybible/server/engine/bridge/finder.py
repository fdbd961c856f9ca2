"""finder: from a module's name to its file, looked for where ansible-core looks and in that order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pybible.server.engine.bridge.places import Places
from pybible.server.engine.bridge.routing import Route, Routing
from pybible.server.engine.model.bridged import BridgedModule
from pybible.wire.errors import PybibleError

# Never modules, whatever folder they are in.
_NO_MODULES = frozenset({".pyc", ".pyo", ".swp", ".bak", ".orig", ".rpm", ".md", ".rst", ".txt", ".yml", ".yaml"})
_LEGACY = "ansible.legacy."
_BUILTIN = "ansible.builtin."
_MAX_REDIRECTS = 10
_CONTROLLER_PART = (
    "module '{name}' has a part that runs on the control node (an action plugin), which pybible does not have"
)


class BridgeError(PybibleError):
    """A module is there and can't be run."""


class Finder:
    """Finds modules, roles and playbooks.

    It is told of all playbooks and roles that are read: what lies beside them is for all that follows. Of playbooks
    that is their collections, of roles their library.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self._roles: dict[Path, None] = {}
        self._playbooks: dict[Path, None] = {}
        self._routings: dict[Path, Routing] = {}
        self._listings: dict[Path, dict[str, Path]] = {}
        self._found: dict[tuple[object, ...], BridgedModule | None] = {}

    def enter_playbook(self, directory: Path) -> None:
        """Note a playbook's folder."""
        self._playbooks.setdefault(directory)

    def enter_role(self, path: Path) -> None:
        """Note a role's folder."""
        self._roles.setdefault(path)

    def find(
        self, name: str, *, directory: Path, role: Path | None = None, collections: Sequence[str] = ()
    ) -> BridgedModule | None:
        """Return the module of that name, None when there is none. BridgeError when it is gone.

        What is there and can't be run says so in `lacking`. `directory` is the playbook's; `role` the folder of the
        role whose task it is; `collections` those whose modules need no full name.
        """
        key = (name, directory, role, tuple(collections), len(self._roles), len(self._playbooks))
        if key not in self._found:
            self._found[key] = self._find(name, directory, role, collections)
        return self._found[key]

    def find_local(self, name: str, *, directory: Path, role: Path | None = None) -> BridgedModule | None:
        """Return the module of that name in a `library` of the operator's: there, it stands before a native one."""
        key = ("", name, directory, role, len(self._roles), len(self._playbooks))
        if key not in self._found:
            self._found[key] = self._local(name, directory, role)
        return self._found[key]

    def find_in_collections(
        self, kind: str, name: str, *, directory: Path | None, collections: Sequence[str] = ()
    ) -> tuple[str, Path] | None:
        """Return the collection and the path of `name` below its folder `kind` (roles, playbooks).

        A full name says its collection; another is looked for in `collections`.
        """
        namespace, _, rest = name.partition(".")
        collection, _, short = rest.partition(".")
        wanted = [(f"{namespace}.{collection}", short)] if short else [(each, name) for each in collections]
        for full, inside in wanted:
            owner, _, own_name = full.partition(".")
            folder = self._collection(owner, own_name, directory) if own_name else None
            path = None if folder is None else folder / kind / inside.replace(".", "/")
            if path is not None and (path.is_dir() if kind == "roles" else path.parent.is_dir()):
                return full, path
        return None

    def find_playbook(self, name: str, *, directory: Path | None = None) -> Path | None:
        """Return the file of a collection's playbook, `namespace.collection.name`.

        `directory` is that of the playbook which names it.
        """
        found = self.find_in_collections("playbooks", name, directory=directory) if name.count(".") >= 2 else None
        if found is None:
            return None
        named = (found[1].with_name(found[1].name + suffix) for suffix in (".yml", ".yaml", ".json", ""))
        return next((path for path in named if path.is_file()), None)

    def collection_of(self, directory: Path) -> str:
        """Return the collection that a folder lies in, empty for none; one that another hides does not count."""
        for root in self._collection_roots(directory):
            inside = directory.relative_to(root).parts if directory.is_relative_to(root) else ()
            if len(inside) > 1 and self._collection(inside[0], inside[1], directory) == root / inside[0] / inside[1]:
                return f"{inside[0]}.{inside[1]}"
        return ""

    def routing_of(self, collection: str, *, directory: Path) -> Routing | None:
        """Return what a collection says of its plugins, None when it is not here."""
        if f"{collection}." == _BUILTIN:
            core = self.places.core
            return None if core is None else self._routing(core / "config" / "ansible_builtin_runtime.yml")
        namespace, _, name = collection.partition(".")
        folder = self._collection(namespace, name, directory)
        return None if folder is None else self._routing(folder / "meta" / "runtime.yml")

    def _find(self, name: str, directory: Path, role: Path | None, collections: Sequence[str]) -> BridgedModule | None:
        short = name.removeprefix(_LEGACY).removeprefix(_BUILTIN)
        if "." in short:
            return self._of_collection(short, directory, role)
        if short == name:
            for collection in collections:
                found = self._of_collection(f"{collection}.{short}", directory, role)
                if found is not None:
                    return found
        if not name.startswith(_BUILTIN):
            found = self._local(short, directory, role)
            if found is not None:
                return found
        return self._of_core(short, directory, role)

    def _local(self, name: str, directory: Path, role: Path | None) -> BridgedModule | None:
        plugins = (*self._beside("action_plugins", directory, role), *self.places.actions)
        action = next(filter(None, (_action(folder, name) for folder in plugins)), None)
        for folder in (*self._beside("library", directory, role), *self.places.library):
            path = self._listing(folder).get(name)
            if path is not None:
                return self._module(f"{_LEGACY}{name}", path, directory, role, action=action)
        return None if action is None else self._module(f"{_LEGACY}{name}", action, directory, role, action=action)

    def _of_core(self, name: str, directory: Path, role: Path | None) -> BridgedModule | None:
        core = self.places.core
        if core is None:
            return None
        path = self._listing(core / "modules").get(name)
        if path is None:
            routing = self._routing(core / "config" / "ansible_builtin_runtime.yml")
            route = routing.find("modules", name)
            kind = "module" if route else "action plugin"
            route = route or routing.find("action", name)
            if route.tombstone:
                raise _gone(kind, f"{_BUILTIN}{name}", route, "ansible-core")
            return self._of_collection(route.redirect, directory, role) if route.redirect.count(".") >= 2 else None
        action = _action(core / "plugins" / "action", name)
        return self._module(f"{_BUILTIN}{name}", path, directory, role, action=action)

    def _of_collection(self, name: str, directory: Path, role: Path | None) -> BridgedModule | None:
        for _ in range(_MAX_REDIRECTS):
            if name.startswith((_BUILTIN, _LEGACY)):
                return self._find(name, directory, role, ())
            parts = name.split(".")
            if len(parts) < 3:
                return None
            folder = self._collection(parts[0], parts[1], directory)
            if folder is None:
                return None
            short = ".".join(parts[2:])
            routing = self._routing(folder / "meta" / "runtime.yml")
            route = routing.find("modules", short)
            if route.tombstone:
                raise _gone("module", name, route, f"collection '{parts[0]}.{parts[1]}'")
            if route.redirect:
                name = route.redirect
                continue
            below = Path(*parts[2:-1])
            action = _action(folder / "plugins" / "action" / below, parts[-1])
            if action is None and routing.find("action", short).redirect:
                action = folder / "plugins" / "action"
            path = self._listing(folder / "plugins" / "modules" / below).get(parts[-1], action)
            return None if path is None else self._module(name, path, directory, role, action=action)
        raise BridgeError(f"the redirects of module '{name}' go round in a circle")

    def _collection_roots(self, directory: Path | None) -> tuple[Path, ...]:
        own = () if directory is None else (directory,)
        return self.places.collection_roots((*own, *self._playbooks))

    def _collection(self, namespace: str, name: str, directory: Path | None) -> Path | None:
        for root in self._collection_roots(directory):
            folder = root / namespace / name
            if folder.is_dir():
                return folder
        return None

    def _module(
        self, name: str, path: Path, directory: Path, role: Path | None, *, action: Path | None
    ) -> BridgedModule:
        """Return a module; `action` is its part on the control node, which Ansible runs instead of it."""
        lacking = ""
        if action is not None:
            lacking = _CONTROLLER_PART.format(name=name)
        elif path.suffix in (".ps1", ".psm1"):
            lacking = f"module '{name}' is for Windows, on which pybible has no agents"
        utils = (*self._beside("module_utils", directory, role), *self.places.module_utils)
        return BridgedModule(
            name=name,
            path=path,
            utils=tuple(folder for folder in utils if folder.is_dir()),
            roots=self._collection_roots(directory),
            lacking=lacking,
        )

    def _beside(self, what: str, directory: Path, role: Path | None) -> tuple[Path, ...]:
        own = [role / what] if role is not None else []
        return tuple(dict.fromkeys([*own, *(known / what for known in self._roles), directory / what]))

    def _routing(self, path: Path) -> Routing:
        return self._routings.setdefault(path, Routing(path))

    def _listing(self, folder: Path) -> dict[str, Path]:
        """Return the modules of a folder by name; those of subfolders of a library count as its own."""
        found = self._listings.get(folder)
        if found is None:
            deep = folder.name == "library"
            paths = sorted((folder.rglob("*") if deep else folder.iterdir()) if folder.is_dir() else ())
            found = self._listings[folder] = {}
            for path in paths:
                if path.suffix not in _NO_MODULES and path.stem != "__init__" and path.is_file():
                    # Python first: the same name in another language is its documentation, or Windows'.
                    if path.suffix == ".py":
                        found[path.stem] = path
                    else:
                        found.setdefault(path.stem, path)
        return found


def _action(folder: Path, name: str) -> Path | None:
    path = folder / f"{name}.py"
    return path if path.is_file() else None


def _gone(kind: str, name: str, route: Route, owner: str) -> BridgeError:
    text = f"The '{name}' {kind} has been removed. {route.tombstone}"
    return BridgeError(f"{text} This feature was removed from {owner}{route.removed}.")
