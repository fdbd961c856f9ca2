"""flags: a file's flags as lsattr shows them, asked of the kernel."""

from __future__ import annotations

import fcntl
import os
import stat
import struct

# (bit, letter, word) in the order in which lsattr prints them.
_FLAGS = (
    (0x00000001, "s", "zero"),
    (0x00000002, "u", "undelete"),
    (0x00000008, "S", "synchronous"),
    (0x00010000, "D", "dirsync"),
    (0x00000010, "i", "immutable"),
    (0x00000020, "a", "append"),
    (0x00000040, "d", "nodump"),
    (0x00000080, "A", "noatime"),
    (0x00000004, "c", "compressed"),
    (0x00000800, "E", "encrypted"),
    (0x00004000, "j", "journalled"),
    (0x00001000, "I", "indexed"),
    (0x00008000, "t", "notail"),
    (0x00020000, "T", "blockroot"),
    (0x00080000, "e", "extents"),
    (0x00800000, "C", "nocow"),
    (0x02000000, "x", "dax"),
    (0x40000000, "F", "casefold"),
    (0x10000000, "N", "inline"),
    (0x20000000, "P", "project"),
    (0x00100000, "V", "verity"),
)

_LONG = struct.calcsize("l")
_GET_FLAGS = 0x80000000 | _LONG << 16 | ord("f") << 8 | 1
_GET_VERSION = 0x80000000 | _LONG << 16 | ord("v") << 8 | 1


def read_flags(path: str) -> tuple[str, str] | None:
    """Return (version, letters) of a file or directory, None where it or its file system has no flags."""
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            return None
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        flags = _ask(file, _GET_FLAGS)
        version = _ask(file, _GET_VERSION)
    except OSError:
        return None
    finally:
        os.close(file)
    return str(version), "".join(letter for bit, letter, _ in _FLAGS if flags & bit)


def _ask(file: int, request: int) -> int:
    # The request says long, the kernel writes an int.
    answer = fcntl.ioctl(file, request, bytes(_LONG))
    return int(struct.unpack_from("I", answer)[0])


def words(letters: str) -> list[str]:
    """Return the names of flags."""
    names = {letter: word for _, letter, word in _FLAGS}
    return [names[letter] for letter in letters if letter in names]
