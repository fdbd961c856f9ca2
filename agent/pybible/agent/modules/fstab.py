"""fstab: the table of file systems: text in, text out. And the mounts that the kernel tells of."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pybible.agent.modules.mounts import unescape
from pybible.agent.modules.rewrite import lines_of

_FIELDS = range(4, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the table, as it is written there: spaces are \\040."""

    source: str
    path: str
    kind: str
    options: str
    dump: str
    order: str

    def line(self) -> str:
        """Return it as a line."""
        return " ".join((self.source, self.path, self.kind, self.options, self.dump, self.order))


def escaped(text: str) -> str:
    """Return a field as the table has it."""
    return text.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")


def parse(line: str) -> Entry | None:
    """Return the entry of a line, None when it is something else."""
    if line.lstrip(" \t").startswith("#"):
        return None
    fields = re.split(r"[ \t]+", line.strip(" \t"))
    if len(fields) not in _FIELDS:
        return None
    source, path, kind, options, *numbers = fields
    dump, order, *_ = (*numbers, "0", "0")
    return Entry(source=source, path=path, kind=kind, options=options, dump=dump, order=order)


def _is_same(entry: Entry, path: str, source: str | None) -> bool:
    """Tell whether an entry is the one that is meant. Swap areas have no path: their source tells them apart."""
    if entry.path != path:
        return False
    is_swap = entry.path == "none" and entry.kind == "swap"
    return not (is_swap and source is not None and entry.source != source)


def put(text: str, wanted: Entry) -> str:
    """Return the table with the entry, in the place of all those of its path, at the end when there is none."""
    lines = []
    found = False
    for line in lines_of(text):
        entry = parse(line)
        if entry is None or not _is_same(entry, wanted.path, wanted.source):
            lines.append(line)
            continue
        found = True
        lines.append(line if entry == wanted else wanted.line())
    if not found:
        lines.append(wanted.line())
    return "".join(f"{line}\n" for line in lines) if not found or lines != lines_of(text) else text


def remove(text: str, path: str, source: str | None) -> str:
    """Return the table without the entries of a path."""
    lines = lines_of(text)
    kept = [line for line in lines if (entry := parse(line)) is None or not _is_same(entry, path, source)]
    return text if kept == lines else "".join(f"{line}\n" for line in kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """A mount as the kernel has it: on which device, which of its folders, where, and from what it says it comes."""

    device: str
    root: str
    path: str
    source: str


def parse_mounts(text: str) -> tuple[Mounted, ...]:
    """Return the mounts of /proc/self/mountinfo, the newest last."""
    mounts = []
    for line in lines_of(text):
        fields, _, rest = line.partition(" - ")
        first, behind = fields.split(), rest.split(" ")
        if len(first) >= 5 and len(behind) >= 2:
            root, path = unescape(first[3]), unescape(first[4])
            mounts.append(Mounted(device=first[2], root=root, path=path, source=unescape(behind[1])))
    return tuple(mounts)


def current_mounts() -> tuple[Mounted, ...]:
    """Return the mounts of this host."""
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ()
    return parse_mounts(text)


def mount_at(path: str, mounts: tuple[Mounted, ...]) -> Mounted | None:
    """Return what is mounted at a path, the topmost of several."""
    real = os.path.abspath(path)  # noqa: PTH100  links count as they are written
    return next((mount for mount in reversed(mounts) if mount.path == real), None)


def comes_from(mount: Mounted, source: str, mounts: tuple[Mounted, ...]) -> bool:
    """Tell whether a mount is of that source: a device, a name, or a folder that is bound there."""
    if mount.source == source or os.path.realpath(mount.source) == os.path.realpath(source):
        return True
    folder = os.path.realpath(source)
    # The innermost mount that the folder is in, the topmost of those at one path.
    around = sorted((found for found in mounts if _contains(found.path, folder)), key=lambda found: len(found.path))
    over = next((found for found in reversed(around) if found != mount), None)
    if over is None or over.device != mount.device:
        return False
    inside = os.path.relpath(folder, over.path)
    return os.path.normpath(Path(over.root, inside)) == os.path.normpath(mount.root)


def _contains(folder: str, path: str) -> bool:
    return folder == "/" or path == folder or path.startswith(f"{folder}/")
