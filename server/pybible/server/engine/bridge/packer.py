"""packer: a Python module and the module_utils that it imports, as one zip that is the same wherever it is made."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pybible.server.engine.bridge.finder import BridgeError
from pybible.server.engine.bridge.imports import Import, imported
from pybible.server.engine.bridge.kept import Looks
from pybible.server.engine.bridge.places import Places
from pybible.server.engine.bridge.routing import Routing
from pybible.server.engine.bridge.styles import Style, interpreter_of, style_of
from pybible.server.engine.model.bridged import BridgedModule

_UTILS = "ansible.module_utils"
_BASIC = "ansible.module_utils.basic"
# What basic loads by a name that it makes up: how arguments and results are written.
_BASIC_LOADS = (
    "ansible.module_utils._internal._json._profiles._module_legacy_c2m",
    "ansible.module_utils._internal._json._profiles._module_legacy_m2c",
)
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What travels: a zip, or the module's own file when it is not Python.

    `entry` is the name under which Python runs it, `interpreter` the words behind its `#!`.
    """

    content: bytes
    sha256: str
    style: Style
    entry: str = ""
    interpreter: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """One file of a package: Python text, and whether it is a package's `__init__`."""

    text: bytes
    package: bool = False


class Packer:
    """Packs modules. What one source imports is found out once, however many modules share it."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._imports: dict[tuple[str, _Source], tuple[Import, ...]] = {}

    def pack(self, module: BridgedModule, looks: Looks | None = None) -> Package:
        """Read a module and what it needs. BridgeError when that can't be had. `looks` learns what was looked at."""
        looks = looks or Looks()
        try:
            text = looks.read(module.path)
        except OSError as error:
            raise BridgeError(f"module '{module.name}' can't be read: {error}") from error
        style = style_of(text)
        interpreter = interpreter_of(text)
        if style is not Style.PYTHON:
            return Package(content=text, sha256=_sum(text), style=style, interpreter=interpreter)
        entry = _entry(module)
        content = _Packing(module, self._places, self._imported, looks).zip(entry, text)
        return Package(content=content, sha256=_sum(content), style=style, entry=entry, interpreter=interpreter)

    def _imported(self, name: str, source: _Source) -> tuple[Import, ...]:
        found = self._imports.get((name, source))
        if found is None:
            found = self._imports[name, source] = imported(source.text, name=name, package=source.package)
        return found


def _entry(module: BridgedModule) -> str:
    parts = module.name.split(".")
    if parts[:2] == ["ansible", "builtin"]:
        return f"ansible.modules.{parts[2]}"
    if parts[:2] == ["ansible", "legacy"]:
        return module.name
    return ".".join(["ansible_collections", *parts[:2], "plugins", "modules", *parts[2:]])


class _Packing:
    """One package in the making."""

    def __init__(
        self,
        module: BridgedModule,
        places: Places,
        imports: Callable[[str, _Source], tuple[Import, ...]],
        looks: Looks,
    ) -> None:
        self._looks = looks
        self._module = module
        self._places = places
        self._imports = imports
        core = places.core
        self._utils = (*module.utils, *([core / "module_utils"] if core is not None else []))
        routes = core / "config" / "ansible_builtin_runtime.yml" if core is not None else None
        self._core_routing = Routing(looks.note(routes)) if routes is not None else None
        self._routings: dict[Path, Routing] = {}
        self._sources: dict[str, _Source] = {
            "ansible": _Source(f"__version__ = {places.version!r}\n".encode(), package=True)
        }
        self._todo: list[str] = []

    def zip(self, entry: str, text: bytes) -> bytes:
        """Return the zip of everything that the module needs."""
        self._parents(entry)
        self._add(entry, _Source(text))
        while self._todo:
            self._follow(self._todo.pop())
        return _zip(self._sources)

    def _follow(self, name: str) -> None:
        source = self._sources[name]
        try:
            wanted = self._imports(name, source)
        except (SyntaxError, ValueError) as error:
            raise BridgeError(f"Unable to compile '{name}' of module '{self._module.name}': {error}") from error
        for each in wanted:
            self._need(each.module)
            # They may be modules, or something inside the one that they are taken from.
            inside = [f"{each.module}.{name}" for name in each.names]
            for candidate in inside:
                self._need(candidate)
            if each.needed and self._is_missing(each.module, inside):
                looked = [*inside, each.module]
                raise BridgeError(f"Could not find imported module support code for {name}. Looked for ({looked})")

    def _is_missing(self, module: str, inside: Sequence[str]) -> bool:
        # What six has inside, it makes when it is loaded.
        if not _is_utils(module) or module.startswith(f"{_UTILS}.six."):
            return False
        return self._sources.keys().isdisjoint([module, *inside])

    def _need(self, name: str) -> None:
        if name in self._sources or not _is_utils(name):
            return
        if name == _BASIC and self._places.core is None and self._find(name) is None:
            raise BridgeError(
                f"module '{self._module.name}' needs ansible-core's module_utils, and ansible-core is not installed "
                "on this machine: pip install 'pybible[ansible]'"
            )
        source = self._find(name)
        if source is None:
            return
        self._parents(name)
        self._add(name, source)
        if name == _BASIC:
            for loaded in _BASIC_LOADS:
                self._need(loaded)

    def _parents(self, name: str) -> None:
        parts = name.split(".")
        for length in range(1, len(parts)):
            parent = ".".join(parts[:length])
            if parent not in self._sources:
                source = self._find(parent) if _is_utils(parent) else None
                self._add(parent, source or _Source(b"", package=True))

    def _add(self, name: str, source: _Source) -> None:
        self._sources[name] = source
        self._todo.append(name)

    def _find(self, name: str) -> _Source | None:
        if name == _UTILS:
            return _Source(b"", package=True)
        if name.startswith(f"{_UTILS}."):
            parts = name.split(".")[2:]
            return self._read(self._utils, parts) or self._redirected(name, self._core_routing, parts)
        namespace, collection, *rest = name.split(".")[1:]
        parts = rest[2:]
        for root in self._module.roots:
            folder = root / namespace / collection
            if self._looks.is_folder(folder):
                if not parts:
                    return _Source(b"", package=True)
                routes = self._looks.note(folder / "meta" / "runtime.yml")
                routing = self._routings.setdefault(folder, Routing(routes))
                found = self._read([folder / "plugins" / "module_utils"], parts)
                return found or self._redirected(name, routing, parts)
        return None

    def _redirected(self, name: str, routing: Routing | None, parts: Sequence[str]) -> _Source | None:
        """Return a module that stands for the one to which its name leads now."""
        route = routing.find("module_utils", ".".join(parts)) if routing is not None else None
        if route is None or not route.redirect:
            return None
        target = route.redirect
        if not target.startswith("ansible_collections.") and not target.startswith(f"{_UTILS}."):
            namespace, collection, *rest = target.split(".")
            target = ".".join(["ansible_collections", namespace, collection, "plugins", "module_utils", *rest])
        return _Source(f"import sys\nimport {target}\nsys.modules[{name!r}] = sys.modules[{target!r}]\n".encode())

    def _read(self, folders: Sequence[Path], parts: Sequence[str]) -> _Source | None:
        looks = self._looks
        for folder in folders:
            path = folder.joinpath(*parts)
            file = path.with_name(f"{path.name}.py")
            if looks.is_file(path / "__init__.py"):
                return _Source(looks.read(path / "__init__.py"), package=True)
            if looks.is_file(file):
                return _Source(looks.read(file))
            if looks.is_folder(path):
                return _Source(b"", package=True)
        return None


def _is_utils(name: str) -> bool:
    parts = name.split(".")
    if parts[0] == "ansible_collections":
        return len(parts) > 4 and parts[3:5] == ["plugins", "module_utils"]
    return parts[:2] == ["ansible", "module_utils"]


def _zip(sources: dict[str, _Source]) -> bytes:
    files = {}
    for name, source in sources.items():
        path = name.replace(".", "/")
        files[f"{path}/__init__.py" if source.package else f"{path}.py"] = source.text
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in sorted(files):
            info = zipfile.ZipInfo(path, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = _MODE
            archive.writestr(info, files[path])
    return buffer.getvalue()


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
