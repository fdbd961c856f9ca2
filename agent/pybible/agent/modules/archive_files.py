"""archive_files: the archives that the module archive makes, and whether one that is there has the same in it."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

Format = Literal["bz2", "gz", "tar", "xz", "zip"]
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """What goes into an archive: where it is, and its name in there."""

    path: Path
    name: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, and no link to one."""
        return self.path.is_dir() and not self.path.is_symlink()


def entries_below(path: Path, root: str) -> Iterator[Entry]:
    """Give what lies below a folder, but not the folder itself; a file alone is given itself."""
    if path.is_symlink() or not path.is_dir():
        yield Entry(path, _name(path, root))
        return
    for found in sorted(path.iterdir()):
        if found.is_dir() and not found.is_symlink():
            yield Entry(found, _name(found, root))
            yield from entries_below(found, root)
        else:
            yield Entry(found, _name(found, root))


def _name(path: Path, root: str) -> str:
    text = str(path)
    return text[len(root) :] if text.startswith(root) else text.lstrip("/")


def write(target: str, entries: Sequence[Entry], form: Format) -> None:
    """Make the archive."""
    if form == "zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
            for entry in entries:
                archive.write(entry.path, entry.name)
        return
    mode: Any = "w" if form == "tar" else f"w:{form}"
    with tarfile.open(target, mode, format=tarfile.PAX_FORMAT) as packed:
        for entry in entries:
            packed.add(entry.path, entry.name, recursive=False)


def compress(target: str, source: Path, form: Format) -> None:
    """Make a file that is compressed, and no archive."""
    with source.open("rb") as plain, _opener(form)(target, "wb") as packed:
        shutil.copyfileobj(plain, packed, _CHUNK)


def _opener(form: Format) -> Callable[..., IO[bytes]]:
    openers: dict[str, Callable[..., Any]] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
    return openers[form]


def same_content(target: str, source: Path, form: Format) -> bool:
    """Return whether a compressed file has just that in it."""
    try:
        with source.open("rb") as plain, _opener(form)(target, "rb") as packed:
            return _digest(plain) == _digest(packed)
    except (OSError, EOFError, lzma.LZMAError, zlib.error):
        return False


def _digest(stream: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while data := stream.read(_CHUNK):
        digest.update(data)
    return digest.digest()


def same_entries(target: str, entries: Sequence[Entry], form: Format) -> bool:
    """Return whether an archive has just these in it, as they are now."""
    try:
        if form == "zip":
            return _zipped(target) == {_zip_key(entry) for entry in entries}
        mode: Any = "r" if form == "tar" else f"r:{form}"
        with tarfile.open(target, mode) as packed:
            members = {member.name: member for member in packed.getmembers()}
            # Only an archive that is written can tell what a file would be in it.
            with tarfile.open(fileobj=io.BytesIO(), mode="w") as scratch:
                wanted = {entry.name: scratch.gettarinfo(str(entry.path), entry.name) for entry in entries}
            if members.keys() != wanted.keys():
                return False
            return all(_same_member(packed, members[entry.name], wanted[entry.name], entry.path) for entry in entries)
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error):
        return False


def _same_member(packed: tarfile.TarFile, member: tarfile.TarInfo, wanted: tarfile.TarInfo, path: Path) -> bool:
    keys = ("type", "uid", "gid", "size", "linkname")
    if (member.mode ^ wanted.mode) & 0o7777 or any(getattr(member, key) != getattr(wanted, key) for key in keys):
        return False
    if int(member.mtime) != int(wanted.mtime):
        return False
    stream = packed.extractfile(member) if member.isreg() else None
    if stream is None:
        return True
    with path.open("rb") as plain:
        return _digest(plain) == _digest(stream)


def _zipped(target: str) -> set[tuple[str, int]]:
    with zipfile.ZipFile(target) as archive:
        return {(info.filename.rstrip("/"), info.CRC) for info in archive.infolist()}


def _zip_key(entry: Entry) -> tuple[str, int]:
    if entry.path.is_dir():
        return entry.name, 0
    sum_ = 0
    with entry.path.open("rb") as stream:
        while data := stream.read(_CHUNK):
            sum_ = zlib.crc32(data, sum_)
    return entry.name, sum_
