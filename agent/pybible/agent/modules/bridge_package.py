"""bridge_package: Python's importer for a module that came as content; each file is compiled once in a worker's life.

The worker compiles, and the children that it forks only execute: what takes a module long to start is done before.
"""

from __future__ import annotations

import ast
import gc
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

_PACKAGES = 64
_PLACE = "/package"
_BASIC = "ansible.module_utils.basic"
# What basic loads when a module begins, and when it ends, by names that it makes up.
_PROFILES = "ansible.module_utils._internal._json._profiles"
_FILES = 2048
# Loading them does something, or costs a worker much memory.
_NOT_WARM = frozenset({"antigravity", "ctypes", "multiprocessing", "readline", "this", "tkinter", "turtle"})


class Package(MetaPathFinder, InspectLoader):
    """One package: its files by the names of Python's modules. `path` is where the zip lies."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.loaded: Mapping[str, ModuleType] = {}
        self._files: dict[str, tuple[str, bytes]] = {}
        with zipfile.ZipFile(path) as archive:
            for file in archive.namelist():
                name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                self._files[name] = (file, archive.read(file))

    def prepare(self) -> None:
        """Compile everything, and load what it imports of Python's own library."""
        wanted: set[str] = set()
        for file, text in self._files.values():
            # What can't be compiled fails the module that imports it, if any does.
            with suppress(SyntaxError, ValueError):
                wanted |= _compiled(file, text)[1]
        for name in sorted(wanted):
            if name not in sys.modules and name.partition(".")[0] not in _NOT_WARM:
                # A host's Python may lack parts of its library; whoever needs one says so.
                with suppress(ImportError):
                    import_module(name)
        self.loaded = _basics().of(self)

    def enter(self) -> None:
        """Be where this process finds its modules. For a child: there is no way back."""
        sys.meta_path.insert(0, self)
        sys.modules.update(self.loaded)

    def has(self, files: Mapping[str, tuple[str, bytes]]) -> bool:
        """Tell whether all these files are in it as they are."""
        return all(self._files.get(name) == file for name, file in files.items())

    def below(self, package: str) -> list[str]:
        """Return the names of the modules in one of its packages."""
        return sorted(name for name in self._files if name.startswith(f"{package}."))

    def files_of(self, names: Iterable[str]) -> dict[str, tuple[str, bytes]]:
        """Return the files of modules."""
        return {name: self._files[name] for name in names if name in self._files}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that the package has."""
        if fullname not in self._files:
            return None
        place = self.get_filename(fullname)
        spec = ModuleSpec(fullname, self, origin=place, is_package=self.is_package(fullname))
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(place.rpartition("/")[0])
        return spec

    def is_package(self, fullname: str) -> bool:
        """Tell whether it is a package."""
        return self._file(fullname)[0].endswith("/__init__.py")

    def get_filename(self, fullname: str) -> str:
        """Return where it lies, as errors show it: code is shared by packages."""
        return f"{_PLACE}/{self._file(fullname)[0]}"

    def get_source(self, fullname: str) -> str:
        """Return its text: tracebacks and `inspect` show it."""
        return self._file(fullname)[1].decode("utf-8")

    def get_code(self, fullname: str) -> CodeType:
        """Return its code. SyntaxError when this Python can't compile it."""
        return _compiled(*self._file(fullname))[0]

    def get_data(self, path: str) -> bytes:
        """Return a file of the package. OSError when it has none there."""
        for file, text in self._files.values():
            if path == f"{_PLACE}/{file}":
                return text
        raise OSError(f"{path} is not in the package")

    def _file(self, fullname: str) -> tuple[str, bytes]:
        found = self._files.get(fullname)
        if found is None:
            raise ImportError(f"{fullname} is not in the package", name=fullname)
        return found


class _Basics:
    """What nearly every module loads first, ansible.module_utils.basic with all below it, loaded once.

    The worker itself never sees it under its names: only a child does. What else a package has is loaded by each child
    for itself, as it may depend on what an earlier task has installed.
    """

    def __init__(self) -> None:
        self._known: list[tuple[dict[str, tuple[str, bytes]], dict[str, ModuleType]]] = []

    def of(self, package: Package) -> Mapping[str, ModuleType]:
        """Return the loaded modules for a package, none when it has no such thing or loading it fails."""
        for files, modules in self._known:
            if package.has(files):
                return modules
        if not package.files_of([_BASIC]):
            return {}
        sys.meta_path.insert(0, package)
        try:
            for name in (_BASIC, *package.below(_PROFILES)):
                import_module(name)
        except (Exception, SystemExit):
            # The child that runs into it tells.
            return {}
        finally:
            sys.meta_path.remove(package)
            loaded = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "ansible"}
            for name in loaded:
                del sys.modules[name]
        self._known.append((package.files_of(loaded), loaded))
        # Children only read it: what the collector does not touch stays shared with them.
        gc.collect()
        gc.freeze()
        return loaded


@cache
def _basics() -> _Basics:
    return _Basics()


@lru_cache(maxsize=_PACKAGES)
def load_package(sha256: str, path: Path) -> Package:
    """Return the package of that sha256, which lies at `path`, ready. OSError, BadZipFile when it can't be read."""
    package = Package(path)
    package.prepare()
    return package


@lru_cache(maxsize=_FILES)
def _compiled(file: str, text: bytes) -> tuple[CodeType, frozenset[str]]:
    """Return a file's code and what it imports of Python's own library as soon as it is loaded.

    Packages share most of their files, so that these are kept by their text.
    """
    tree = ast.parse(text, file)
    return compile(tree, f"{_PLACE}/{file}", "exec", dont_inherit=True), frozenset(_library(tree.body))


def _library(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.Try):
            yield from _library(node.body)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if _is_library(each.name))
        elif isinstance(node, ast.ImportFrom) and not node.level and _is_library(node.module or ""):
            yield node.module or ""


def _is_library(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names
