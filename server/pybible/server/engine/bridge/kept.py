"""kept: packages of earlier runs, and whether the same would be made now.

A package is good as long as everything that the packer looked at is as it was: what it read, and what was not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pybible.server.engine.model.bridged import BridgedModule

# Another number whenever packages are made otherwise.
_FORMAT = 1
# So many files at most; those that were not used for longest go first.
_FILES = 500


class Looks:
    """What was looked at, with a stamp of each: empty for what is not there."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def is_file(self, path: Path) -> bool:
        """Return whether there is such a file."""
        return self._note(path).startswith("file")

    def is_folder(self, path: Path) -> bool:
        """Return whether there is such a folder."""
        return self._note(path) == "folder"

    def read(self, path: Path) -> bytes:
        """Return a file's content. OSError."""
        self._note(path)
        return path.read_bytes()

    def note(self, path: Path) -> Path:
        """Remember a file that somebody else reads."""
        self._note(path)
        return path

    def _note(self, path: Path) -> str:
        name = os.fspath(path)
        found = self.seen.get(name)
        if found is None:
            found = self.seen[name] = _stamp(name)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPackage:
    """A package that is still good, its content in the file `path`."""

    path: Path
    sha256: str
    size: int
    style: str
    entry: str
    interpreter: tuple[str, ...]


class Kept:
    """The packages in a folder, made by `maker`: what besides the module and its places they depend on."""

    def __init__(self, folder: Path, maker: str) -> None:
        self._folder = folder
        self._maker = maker

    def find(self, module: BridgedModule) -> KeptPackage | None:
        """Return the package of a module, None when there is none that would be made the same now."""
        record = self._record(module)
        try:
            found = json.loads(record.read_text("utf-8"))
            path = self._folder / str(found["sha256"])
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != found["sha256"]:
                return None
            if any(_stamp(name) != stamp for name, stamp in found["looked"].items()):
                return None
            package = KeptPackage(
                path=path,
                sha256=found["sha256"],
                size=len(content),
                style=found["style"],
                entry=found["entry"],
                interpreter=tuple(found["interpreter"]),
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        with suppress(OSError):
            os.utime(record)
            os.utime(path)
        return package

    def keep(self, module: BridgedModule, package: KeptPackage, looks: Looks) -> None:
        """Remember a package, whose content lies in the folder already. OSError."""
        told = {
            "sha256": package.sha256,
            "style": package.style,
            "entry": package.entry,
            "interpreter": package.interpreter,
            "looked": looks.seen,
        }
        write(self._record(module), json.dumps(told).encode())
        self._make_room()

    def _record(self, module: BridgedModule) -> Path:
        places = [[str(path) for path in paths] for paths in (module.utils, module.roots)]
        key = json.dumps([_FORMAT, self._maker, module.name, str(module.path), *places])
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def _make_room(self) -> None:
        with suppress(OSError):
            files = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in files[: max(0, len(files) - _FILES)]:
                path.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write a file as a whole: other runs may read it, or write the same. OSError."""
    scratch = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _stamp(name: str) -> str:
    try:
        found = os.stat(name)  # noqa: PTH116  hundreds for each package
    except (OSError, ValueError):
        return ""
    if stat.S_ISDIR(found.st_mode):
        return "folder"
    return f"file {found.st_mtime_ns} {found.st_size} {found.st_ino}"
