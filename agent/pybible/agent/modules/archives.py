"""archives: tar and zip files: what is in them, whether a folder differs from it, and their unpacking."""

from __future__ import annotations

import fnmatch
import re
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pybible.agent.modules.api import Context, ModuleError
from pybible.agent.modules.programs import Answer, call, locate

if TYPE_CHECKING:
    from pybible.agent.modules.unarchive import Args

# Differences that tar reports and that unpacking again would not, or is not asked to, put right.
_OWNER = re.compile(r": Uid differs$")
_GROUP = re.compile(r": Gid differs$")
_MODE = re.compile(r": Mode differs$")
_TIME = re.compile(r": Mod time differs$")
_EMPTY = re.compile(r": : Warning: Cannot stat: No such file or directory$")
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Unpacked:
    """How the unpacking went."""

    cmd: list[str]
    rc: int
    out: str
    err: str


class Archive(Protocol):
    """An archive, whatever its form."""

    @property
    def handler(self) -> str:
        """What the result calls its form."""
        ...

    def names(self) -> list[str]:
        """Return what is in it and asked for."""
        ...

    def differs(self) -> bool:
        """Return whether unpacking would change anything."""
        ...

    def extract(self) -> Unpacked:
        """Unpack it."""
        ...


def open_archive(path: str, args: Args, context: Context) -> Archive:
    """Return the archive, by what it is and not by its name. ModuleError when it is none."""
    if zipfile.is_zipfile(path):
        return Zip(path, args, context)
    for handler, option in _TARS:
        archive = Tar(path, args, context, handler, option)
        if archive.readable():
            return archive
    raise ModuleError(
        f'Failed to find handler for "{args.src}". Make sure the required command to extract the file is installed.\n'
        "It is neither a tar nor a zip archive, or can not be read."
    )


_TARS = (
    ("TgzArchive", "-z"),
    ("TarArchive", ""),
    ("TarBzipArchive", "-j"),
    ("TarXzArchive", "-J"),
    ("TarZstdArchive", "--use-compress-program=zstd"),
)


class Tar:
    """A tar file, packed or not."""

    def __init__(self, path: str, args: Args, context: Context, handler: str, option: str) -> None:
        self._path, self._args, self._context = path, args, context
        self._option = [option] if option else []
        self._names: list[str] | None = None
        self.handler = handler
        program = locate("gtar", context) or locate("tar", context)
        if program is None:
            raise ModuleError('Failed to find required executable "tar"')
        self._program = program

    def _run(self, *words: str) -> Answer:
        return call([self._program, *words], self._context, also={"LC_ALL": "C.UTF-8"})

    def _selection(self) -> list[str]:
        words = [f"--exclude={name}" for name in self._args.exclude]
        return [*words, *(["--wildcards"] if self._args.include else [])]

    def readable(self) -> bool:
        """Return whether it is an archive of this form."""
        words = ["--list", "-C", self._args.dest, *self._option, *self._args.extra_opts, *self._selection()]
        done = self._run(*words, "-f", self._path, *self._args.include)
        if done.rc:
            return False
        self._names = [_unescape(line) for line in done.stdout.splitlines() if line]
        return True

    def names(self) -> list[str]:
        """Return what is in it and asked for."""
        if self._names is None:
            self.readable()
        return [name for name in self._names or [] if not _excluded(name, self._args.exclude)]

    def differs(self) -> bool:
        """Compare by tar itself; owner, group and mode count only where the task does not set them."""
        args = self._args
        if not self.names():
            return False
        words = ["--diff", "-C", args.dest, *self._option, *args.extra_opts, *self._selection()]
        done = self._run(*words, *self._ownership(), "-f", self._path, *args.include)
        if done.rc == 0:
            return False
        ignored = [_EMPTY]
        ignored += [_OWNER] if args.owner else []
        ignored += [_GROUP] if args.group else []
        ignored += [_MODE] if args.mode else []
        ignored += [_TIME] if args.keep_newer else []
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        return any(not any(pattern.search(line) for pattern in ignored) for line in lines if "differs" in line) or any(
            "Cannot stat" in line or "Not linked" in line or "Cannot open" in line for line in lines
        )

    def _ownership(self) -> list[str]:
        words = []
        if self._args.owner:
            words.append(f"--owner={self._args.owner}")
        if self._args.group:
            words.append(f"--group={self._args.group}")
        return words

    def extract(self) -> Unpacked:
        """Unpack by tar."""
        args = self._args
        words = ["--extract", "-C", args.dest, *self._option, *args.extra_opts, *self._selection()]
        words += ["--keep-newer-files"] if args.keep_newer else []
        words += [*self._ownership(), "-f", self._path, *args.include]
        done = self._run(*words)
        return Unpacked([self._program, *words], done.rc, done.stdout, done.stderr)


def _unescape(name: str) -> str:
    if "\\" not in name:
        return name
    return (
        name.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")
    )


def _excluded(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


class Zip:
    """A zip file."""

    handler = "ZipArchive"

    def __init__(self, path: str, args: Args, context: Context) -> None:
        self._path, self._args, self._context = path, args, context

    def _entries(self) -> list[zipfile.ZipInfo]:
        with zipfile.ZipFile(self._path) as archive:
            entries = archive.infolist()
        include, exclude = self._args.include, self._args.exclude
        kept = [entry for entry in entries if not include or _excluded(entry.filename, include)]
        return [entry for entry in kept if not _excluded(entry.filename, exclude)]

    def names(self) -> list[str]:
        """Return what is in it and asked for."""
        return [entry.filename for entry in self._entries()]

    def differs(self) -> bool:
        """Compare kind, size, time, mode and sum of every entry."""
        return any(self._entry_differs(entry) for entry in self._entries())

    def _entry_differs(self, entry: zipfile.ZipInfo) -> bool:
        path = Path(self._args.dest) / entry.filename
        if not path.exists():
            return True
        if entry.is_dir():
            return not path.is_dir()
        found = path.stat()
        packed = time.mktime((*entry.date_time, 0, 0, -1))
        if self._args.keep_newer and found.st_mtime > packed:
            return False
        bits = (entry.external_attr >> 16) & 0o777
        if bits and not self._args.mode and bits != found.st_mode & 0o777:
            return True
        if found.st_size != entry.file_size or int(found.st_mtime) not in range(int(packed) - 1, int(packed) + 2):
            return True
        return _crc(path) != entry.CRC

    def extract(self) -> Unpacked:
        """Unpack by unzip."""
        args = self._args
        program = locate("unzip", self._context)
        if program is None:
            raise ModuleError('Failed to find required executable "unzip" to unpack a zip archive')
        words = ["-u" if args.keep_newer else "-o", *args.extra_opts, self._path, *args.include]
        words += ["-x", *args.exclude] if args.exclude else []
        words += ["-d", args.dest]
        done = call([program, *words], self._context, also={"LC_ALL": "C.UTF-8"})
        return Unpacked([program, *words], done.rc, done.stdout, done.stderr)


def _crc(path: Path) -> int:
    """Return the checksum that a zip has of its files, without holding the file."""
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum
