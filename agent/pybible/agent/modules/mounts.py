"""mounts: tables of mounts, as the kernel and fstab write them, and the sizes of what is mounted."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass

from pybible.wire.values import JsonObject

_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of a table; `line` as it was written. The names are fstab(5)'s."""

    device: str
    mount: str
    fstype: str
    options: str
    dump: int
    passno: int
    line: str


def parse(text: str) -> list[Mount]:
    """Return the mounts of /proc/mounts, mtab or fstab; comments and lines of fewer than three fields are left out."""
    found = []
    for line in text.split("\n"):
        fields = fields_of(line)
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        options, dump, passno = [*fields[3:6], *("", "0", "0")[len(fields[3:6]) :]]
        device, mount, fstype = fields[:3]
        found.append(Mount(device, mount, fstype, options, _number(dump), _number(passno), line))
    return found


def fields_of(line: str) -> list[str]:
    """Return the fields of a line, unescaped. Other blanks than space and tab are part of a name."""
    stripped = line.strip(" \t")
    return [unescape(field) for field in re.split(r"[ \t]+", stripped)] if stripped else []


def unescape(field: str) -> str:
    r"""Return a field with what stands for blanks in it (\040 and the like) replaced."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), field) if "\\" in field else field


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def sizes(place: str, timeout: float | None) -> JsonObject | None:
    """Return the sizes of what is mounted, nothing where it has none, None when it does not answer in time.

    A file system that is silent (a dead server's) costs the timeout, in seconds, and not the worker.
    """
    answer: JsonObject = {}

    def ask() -> None:
        try:
            found = os.statvfs(place)
        except OSError:
            return
        answer.update(
            size_total=found.f_frsize * found.f_blocks,
            size_available=found.f_frsize * found.f_bavail,
            block_size=found.f_bsize,
            block_total=found.f_blocks,
            block_available=found.f_bavail,
            block_used=found.f_blocks - found.f_bavail,
            inode_total=found.f_files,
            inode_available=found.f_favail,
            inode_used=found.f_files - found.f_favail,
        )

    asking = threading.Thread(target=ask, name=f"statvfs {place}", daemon=True)
    asking.start()
    asking.join(timeout)
    return None if asking.is_alive() else dict(answer)
